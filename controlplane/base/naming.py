"""Every derived name is made here: tables, DAG ids, Redis keys, files of a release.

Pure text, no I/O.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from functools import lru_cache
from typing import TypeGuard

from controlplane.base.types import Interval, format_instant, micros

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
LONGEST_NAME = 63
"""Characters; of all the systems that names reach, PostgreSQL takes the shortest."""
CONTROL_SCHEMA = "_plane"
DATASETS = "datasets"
PARTS = ("history", "history_replaced", "latest", "tiles")
"""What SQL users see of a view beside itself."""
POOL = "plane_warehouse"
"""Airflow's pool for tasks that use the warehouse."""


def is_name(text: object) -> TypeGuard[str]:
    """Tell whether `text` is a valid name of a definition.

    Names have letters, digits and single underscores, and start with a letter.
    """
    return isinstance(text, str) and NAME.fullmatch(text) is not None and len(text) <= LONGEST_NAME


def name_remedy(text: object) -> str:
    """What to do about a name that `is_name` refuses."""
    if isinstance(text, str) and NAME.fullmatch(text) and len(text) > LONGEST_NAME:
        return f"shorten it: it has {len(text)} characters, and at most {LONGEST_NAME} fit"
    return (
        "use letters, digits and single underscores, beginning with a letter, at most"
        f" {LONGEST_NAME} characters"
    )


def stored(name: str, dialect: str) -> str:
    """A name as its warehouse stores it: Snowflake does so in capitals unless it is written in
    quotes, as in `"ts"`."""
    if is_quoted(name):
        return name[1:-1]
    return name.upper() if dialect == "snowflake" and name.islower() else name


def is_quoted(name: str) -> bool:
    """Whether a column's name stands in double quotes, so that it means the very letters between
    them."""
    return len(name) > 2 and name[0] == name[-1] == '"'


def feature(view: str, name: str) -> str:
    """The one spelling of a feature outside its view: training column, HTTP field, client
    result."""
    return f"{view}__{name}"


def tiles(view: str, fingerprint: str) -> str:
    """Table of partial aggregates of one version of a view."""
    return f"{view}__tiles__{fingerprint}"


def rollups(view: str, fingerprint: str) -> str:
    """Table of tiles merged into longer ones, of one version of a view."""
    return f"{view}__rollups__{fingerprint}"


def history(view: str, fingerprint: str) -> str:
    """Table with the change log of one version of a view."""
    return f"{view}__history__{fingerprint}"


def history_replaced(view: str, fingerprint: str) -> str:
    """Table with the rows of the change log that healing replaced, of one version of a view."""
    return f"{view}__history_replaced__{fingerprint}"


def latest(view: str, fingerprint: str) -> str:
    """Table with one row per key of one version of a view."""
    return f"{view}__latest__{fingerprint}"


def door(view: str, part: str = "") -> str:
    """The name that SQL users read: the view itself, or one of `PARTS`."""
    return f"{view}__{part}" if part else view


def door_in(schema: str, table: str) -> str:
    """The view that a source reads by its one right spelling, `schema.view`.

    Empty of any other table.
    """
    return table.removeprefix(f"{schema}.") if table.startswith(f"{schema}.") else ""


def head(schema: str, view: str, fingerprint: str) -> str:
    """One-row table of one version of a view: its newest publication and its frontier.

    It serialises the writers.
    """
    return f"head__{schema}__{view}__{fingerprint}"


def stage(view: str, run_id: str, interval: Interval) -> str:
    """Table that holds one run's rows between its tasks.

    Equal for retries of the same run and interval.
    """
    digest = hashlib.sha256(f"{run_id}\0{interval}".encode()).hexdigest()[:12]
    return f"stage__{view}__{digest}"


def dataset(name: str, version: int) -> str:
    """Table of one immutable version of a training set."""
    return f"{name}__v{version}"


def spine(token: str) -> str:
    """Table that holds the rows of a DataFrame for as long as a training set is made of them."""
    return f"spine__{token}"


def function(feature: str, fingerprint: str) -> str:
    """Function of the warehouse that computes a realtime feature."""
    return f"{feature}__{fingerprint}"


def dag_id(project: str, environment: str, view: str) -> str:
    """The DAG that materializes a view."""
    return f"{project}.{environment}.{view}"


def partition_key(start: datetime) -> str:
    """Airflow's key for the partition that begins at `start`, as its partition timetable writes
    it."""
    return format_instant(start).removesuffix("Z")


def asset_uri(project: str, environment: str, view: str, store: str) -> str:
    """The Airflow asset of a view's table (`store` is `offline`) or of its online values
    (`online`)."""
    return f"plane://{project}/{environment}/{view}/{store}"


def query_tag(project: str, environment: str, view: str, owner: str, step: str) -> str:
    """What the warehouse's query log shows for a statement of ours."""
    return f"plane:{project}/{environment}/{view}/{step} owner={owner}"


def namespace(project: str, environment: str) -> str:
    """First part of every Redis key of one environment of one project."""
    return f"{project}.{environment}"


def online_prefix(namespace: str, view: str, fingerprint: str) -> bytes:
    """What every key of one version of a view begins with.

    The entity follows in braces (a Cluster hash tag).
    """
    return f"{namespace}:{view}:{fingerprint}:".encode()


def serving_hash(namespace: str) -> bytes:
    """Hash of view -> version that readers serve now."""
    return f"{namespace}:serving".encode()


def claim_hash(namespace: str) -> bytes:
    """Hash that names the warehouse whose values lie under a namespace's keys."""
    return f"{namespace}:warehouse".encode()


def cursor_hash(namespace: str, view: str, fingerprint: str) -> bytes:
    """Hash that says how far the sync of one version of a view has come."""
    return f"{namespace}:sync:{view}:{fingerprint}".encode()


@lru_cache(maxsize=1000)
def instant_literal(instant: datetime) -> str:
    """`2013-01-01 06:00:00.000000`: how SQL text spells an instant in UTC on every warehouse."""
    return f"{format_instant(instant)[:19].replace('T', ' ')}.{micros(instant) % 1_000_000:06d}"
