"""Checks of everything that a project stands on; each is one finding with a remedy, and none stops the others."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from controlplane.errors import PlaneError
from controlplane.naming import POOL
from controlplane.ports import OnlineStore, StoreInfo, Warehouse

OK, WARNING, ERROR = "ok", "warning", "error"
_PACKAGES = ("controlplane", "duckdb", "redis", "pyarrow", "sqlalchemy", "sqlglot", "apache-airflow")


class Finding(msgspec.Struct, frozen=True):
    """One check: its subject, `ok`, `warning` or `error`, what was found, and what to do."""

    subject: str
    level: str
    message: str
    hint: str = ""


Check = tuple[str, Callable[[], Sequence[Finding]]]
"""A check's subject and what runs it; an error that it raises becomes a finding of its own."""


def examine(checks: Sequence[Check]) -> list[Finding]:
    """Run every check; one that raises a `PlaneError` is an error, and the others still run."""
    findings: list[Finding] = []
    for subject, check in checks:
        try:
            findings.extend(check())
        except PlaneError as error:
            findings.append(Finding(subject, ERROR, error.message, error.hint))
    return findings


def versions() -> list[Finding]:
    """The versions of Python and of the packages that matter."""
    found = [Finding("python", OK, platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append(Finding(package, OK, version(package)))
        except PackageNotFoundError:
            hint = "pip install 'controlplane[airflow]' where DAGs are to run; the rest works without it"
            found.append(Finding(package, WARNING, "not installed", hint))
    return found


def warehouse_findings(warehouse: Warehouse) -> list[Finding]:
    """Whether the warehouse answers, and what it is."""
    return [Finding("warehouse", OK, ", ".join(warehouse.info().values()))]


def store_findings(store: OnlineStore | None) -> list[Finding]:
    """Whether the online store answers, and whether it keeps what is written."""
    if store is None:
        return [Finding("online store", OK, "none: this environment is offline only")]
    info = store.info()
    return [Finding("online store", OK, f"version {info.version}, {info.used_memory // 2**20} MB used"), *policy(info)]


def policy(info: StoreInfo) -> Iterator[Finding]:
    """What the eviction policy means for the values: under allkeys-* the store drops them without an error."""
    name = info.eviction_policy
    if name.startswith("allkeys-"):
        hint = "set maxmemory-policy to noeviction, or to a volatile-* policy, in the server's configuration"
        text = f"maxmemory-policy is {name}: the server may drop feature values without an error"
        yield Finding("online store", ERROR, text, hint)
    elif not name:
        hint = "the server hides its configuration: ask its operator for noeviction or volatile-*"
        yield Finding("online store", WARNING, "its eviction policy is not known", hint)
    else:
        yield Finding("online store", OK, f"maxmemory-policy {name}")
    if info.evicted_keys:
        text = f"{info.evicted_keys} keys were evicted since the server started"
        yield Finding(
            "online store", WARNING, text, "give it more memory, then write all keys again: plane run --resync"
        )


def releases_findings(root: Path, digest: str | None) -> list[Finding]:
    """Whether Airflow is pointed to the release that was deployed last."""
    current = root / "CURRENT"
    if digest is None:
        return [Finding("release", WARNING, "nothing is deployed yet", "run `plane deploy`")]
    shown = current.read_text(encoding="utf-8").strip() if current.is_file() else ""
    if shown != digest or not (root / "releases" / digest).is_dir():
        text = f"Airflow sees {shown or 'no release'}, deployed is {digest}"
        return [Finding("release", ERROR, text, "run `plane deploy` again: it writes the release anew")]
    return [Finding("release", OK, digest)]


def airflow_findings(
    url: str,
    import_errors: Sequence[Mapping[str, Any]],
    shown: Collection[str],
    wanted: Collection[str],
    pools: Collection[str],
) -> list[Finding]:
    """Whether a running Airflow reads the deployed DAGs and has the pool that their tasks need.

    Args:
        url: of its UI.
        import_errors: as its API gives them.
        shown: the DAGs that it has read.
        wanted: the DAGs that are deployed.
        pools: its pools.
    """
    found = [
        Finding(
            "airflow", ERROR, f"it can't read {error['filename']}", str(error["stack_trace"]).strip().split("\n")[-1]
        )
        for error in import_errors
    ]
    if missing := sorted(set(wanted) - set(shown)):
        hint = "wait for its dag-processor, or look at its log; a deploy is read within a minute"
        found.append(Finding("airflow", WARNING, f"it does not show {', '.join(missing)}", hint))
    if POOL not in pools:
        hint = f"make it: airflow pools set {POOL} 8 'warehouse'"
        found.append(Finding("airflow", ERROR, f"it has no pool {POOL}, so no task can start", hint))
    return found or [Finding("airflow", OK, f"{len(wanted)} DAGs at {url}")]
