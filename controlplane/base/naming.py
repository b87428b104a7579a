"""Derive all names: of tables, DAGs, Redis keys, functions. Pure text, no I/O."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from functools import lru_cache
from typing import TypeGuard

from controlplane.base.types import Interval, format_instant, micros

# No two underscores in a row: they separate the parts of derived names, as in `spend__history`.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
LONGEST_NAME = 63
"""Characters: the limit of PostgreSQL, the lowest of all systems that get names."""
# No project can have a schema of this name, since names begin with a letter.
CONTROL_SCHEMA = "_plane"
DATASETS = "datasets"
PARTS = ("history", "history_replaced", "latest", "tiles")
"""The parts of a view that have public views of their own."""
POOL = "plane_warehouse"
"""Airflow's pool for tasks that use the warehouse."""


def is_name(text: object) -> TypeGuard[str]:
    """Tell whether `text` is a valid name of a definition.

    Names have letters, digits and single underscores, and start with a letter.
    """
    return isinstance(text, str) and NAME.fullmatch(text) is not None and len(text) <= LONGEST_NAME


def name_remedy(text: object) -> str:
    """Say what to do about a name that `is_name` refuses."""
    if isinstance(text, str) and NAME.fullmatch(text) and len(text) > LONGEST_NAME:
        return f"shorten it: it has {len(text)} characters, and at most {LONGEST_NAME} fit"
    return (
        "use letters, digits and single underscores, beginning with a letter, at most"
        f" {LONGEST_NAME} characters"
    )


def stored_name(name: str, dialect: str) -> str:
    """Return a name as its warehouse stores it; a quoted name such as `"ts"` keeps its case."""
    # Snowflake stores names without quotes in capitals, and lists them so: those stay as they are.
    if is_quoted(name):
        return name[1:-1]
    return name.upper() if dialect == "snowflake" and name.islower() else name


def is_quoted(name: str) -> bool:
    """Tell whether a column's name is in double quotes, which keep its case."""
    return len(name) > 2 and name[0] == name[-1] == '"'


def feature(view: str, name: str) -> str:
    """Return the full name of a feature: training column, HTTP field, result of the client."""
    return f"{view}__{name}"


def tiles(view: str, fingerprint: str) -> str:
    """Name the table of partial aggregates of one version of a view."""
    return f"{view}__tiles__{fingerprint}"


def rollups(view: str, fingerprint: str) -> str:
    """Name the table of tiles merged into longer ones, of one version of a view."""
    return f"{view}__rollups__{fingerprint}"


def history(view: str, fingerprint: str) -> str:
    """Name the table with the change log of one version of a view."""
    return f"{view}__history__{fingerprint}"


def history_replaced(view: str, fingerprint: str) -> str:
    """Name the table of the change log's rows that healing replaced, of one version of a view."""
    return f"{view}__history_replaced__{fingerprint}"


def latest(view: str, fingerprint: str) -> str:
    """Name the table with one row per key of one version of a view."""
    return f"{view}__latest__{fingerprint}"


def public_view(view: str, part: str = "") -> str:
    """Name the SQL view that users read: of the view itself, or of one of `PARTS`."""
    return f"{view}__{part}" if part else view


def view_of_table(schema: str, table: str) -> str:
    """Return the view whose public view a table is: `spend` for `features.spend`.

    Empty for tables in other schemas; the name need not be that of a view.
    """
    return table.removeprefix(f"{schema}.") if table.startswith(f"{schema}.") else ""


def head(schema: str, view: str, fingerprint: str) -> str:
    """Name the one-row table of one version of a view: its last publication and its watermark.

    Writers lock it, so that one of them publishes at a time.
    """
    return f"head__{schema}__{view}__{fingerprint}"


def stage(view: str, run_id: str, interval: Interval) -> str:
    """Name the table that holds one run's rows between its tasks.

    Retries of the same run and interval have the same table.
    """
    # A digest: run ids may be long, and have characters that names can't have.
    digest = hashlib.sha256(f"{run_id}\0{interval}".encode()).hexdigest()[:12]
    return f"stage__{view}__{digest}"


def dataset(name: str, version: int) -> str:
    """Name the table of one immutable version of a training set."""
    return f"{name}__v{version}"


def spine(token: str) -> str:
    """Name the temporary table with the rows of a DataFrame that a training set is made for."""
    return f"spine__{token}"


def function(feature: str, fingerprint: str) -> str:
    """Name the warehouse's function that computes a realtime feature."""
    return f"{feature}__{fingerprint}"


def dag_id(project: str, environment: str, view: str) -> str:
    """Name the DAG that materializes a view."""
    return f"{project}.{environment}.{view}"


def partition_key(start: datetime) -> str:
    """Return Airflow's key of the partition that begins at `start`."""
    return format_instant(start).removesuffix("Z")


def asset_uri(project: str, environment: str, view: str, store: str) -> str:
    """Return the URI of a view's Airflow asset; `store` is `offline` or `online`."""
    return f"plane://{project}/{environment}/{view}/{store}"


def query_tag(project: str, environment: str, view: str, owner: str, step: str) -> str:
    """Return the tag of a statement in the warehouse's own query log."""
    return f"plane:{project}/{environment}/{view}/{step} owner={owner}"


def namespace(project: str, environment: str) -> str:
    """Return the first part of every Redis key of one environment of one project."""
    return f"{project}.{environment}"


def online_prefix(namespace: str, view: str, fingerprint: str) -> bytes:
    """Return the prefix of every key of one version of a view.

    The entity follows in braces (a Redis Cluster hash tag).
    """
    # With the version, so that readers are served the old one while a new one is written.
    return f"{namespace}:{view}:{fingerprint}:".encode()


def serving_hash(namespace: str) -> bytes:
    """Name the hash of view -> version that readers serve."""
    return f"{namespace}:serving".encode()


def claim_hash(namespace: str) -> bytes:
    """Name the hash that identifies the warehouse whose values are under a namespace's keys."""
    return f"{namespace}:warehouse".encode()


def cursor_hash(namespace: str, view: str, fingerprint: str) -> bytes:
    """Name the hash with the progress of the sync of one version of a view."""
    return f"{namespace}:sync:{view}:{fingerprint}".encode()


@lru_cache(maxsize=1000)
def instant_literal(instant: datetime) -> str:
    """Write an instant in UTC for SQL of all warehouses: `2013-01-01 06:00:00.000000`."""
    # Not `strftime`: its %Y does not pad years before 1000 on Linux.
    return f"{format_instant(instant)[:19].replace('T', ' ')}.{micros(instant) % 1_000_000:06d}"
