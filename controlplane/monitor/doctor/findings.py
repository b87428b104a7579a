"""Checks of everything that a project stands on.

Each is one finding with a remedy, and none stops the others.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import msgspec

from controlplane.base.naming import POOL
from controlplane.base.ports import OnlineStore, Rights, RightsProbe
from controlplane.control.drift import Drift
from controlplane.errors import PlaneError, Problems, disk_error
from controlplane.online import eviction

OK, WARNING, ERROR = "ok", "warning", "error"
_PACKAGES = (
    "controlplane",
    "duckdb",
    "redis",
    "pyarrow",
    "sqlalchemy",
    "sqlglot",
    "apache-airflow",
)
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?([<>=\d.,]*)")

_UPKEEP_RULES = {"+scan", "+unlink", "+pttl"}
"""What `plane online verify` and `plane online clean` do in the online store, and runs do not."""


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
        except Problems as several:
            findings.extend(_failed(subject, problem) for problem in several.problems)
        except PlaneError as error:
            findings.append(_failed(subject, error))
        except OSError as error:
            told = disk_error(error)
            if told is None:
                raise
            findings.append(_failed(subject, told))
    return findings


def _failed(subject: str, error: PlaneError) -> Finding:
    return Finding(
        subject,
        ERROR,
        f"{error.where}: {error.message}" if error.where else error.message,
        error.hint,
    )


def versions() -> list[Finding]:
    """The versions of Python and of the packages that matter."""
    found = [Finding("python", OK, platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append(Finding(package, OK, version(package)))
        except PackageNotFoundError:
            hint = (
                "pip install 'controlplane[airflow]' where DAGs are to run; the rest works"
                " without it"
            )
            found.append(Finding(package, WARNING, "not installed", hint))
    return found


def driver_findings(extra: str) -> list[Finding]:
    """The versions of what an extra of ours brings, a warehouse's driver, and whether they are
    supported."""
    found = []
    for requirement in requires("controlplane") or ():
        parts = _REQUIREMENT.match(requirement)
        if parts is None or not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", requirement):
            continue
        name, supported = parts[1], ",".join(sorted(parts[2].split(","), reverse=True))
        try:
            installed = version(name)
        except PackageNotFoundError:
            found.append(
                Finding(name, ERROR, "not installed", f"pip install 'controlplane[{extra}]'")
            )
            continue
        if fits(installed, supported):
            found.append(Finding(name, OK, f"{installed}, supported are {supported}"))
        else:
            hint = f"pip install 'controlplane[{extra}]': other versions are not tested"
            found.append(
                Finding(name, WARNING, f"{installed} is installed, supported are {supported}", hint)
            )
    return found


def fits(installed: str, supported: str) -> bool:
    """Whether a version lies between bounds such as `>=4,<6`."""
    have = _numbers(installed)
    bounds = [(bound[:1], _numbers(bound.lstrip("<>="))) for bound in supported.split(",") if bound]
    return all(have < limit if sign == "<" else have >= limit for sign, limit in bounds)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def store_findings(store: OnlineStore | None, prefix: bytes) -> list[Finding]:
    """Whether the online store answers, lets us do what we need to, and keeps what is written.

    Args:
        store: the open one; None where the environment has none.
        prefix: what the environment's keys begin with.
    """
    if store is None:
        return [Finding("online store", OK, "none: this environment is offline only")]
    lacking = _rights_findings(store.rights(prefix)) if isinstance(store, RightsProbe) else []
    if any({"+info", "+select"} & set(finding.hint.split()) for finding in lacking):
        return lacking  # nothing more can be asked
    info = store.info()
    found = [
        Finding("online store", OK, f"version {info.version}, {info.used_memory // 2**20} MB used")
    ]
    if info.eviction_policy:
        found.append(Finding("online store", OK, f"maxmemory-policy {info.eviction_policy}"))
    against = list(eviction.concerns(info))
    if any(concern.fatal for concern in against):
        del found[1:]
    concerns = [
        Finding("online store", ERROR if c.fatal else WARNING, c.message, c.hint) for c in against
    ]
    return found + lacking + concerns


def _rights_findings(rights: Rights) -> list[Finding]:
    """What the store's user may not do: an error where runs need it, a warning where `plane online`
    alone does."""
    found = []
    for level, purpose, rules in (
        (ERROR, "a run needs", [rule for rule in rights.missing if rule not in _UPKEEP_RULES]),
        (
            WARNING,
            "`plane online` needs",
            [rule for rule in rights.missing if rule in _UPKEEP_RULES],
        ),
    ):
        if rules:
            text = f"user {rights.user!r} lacks rights that {purpose}: {' '.join(rules)}"
            found.append(
                Finding("online store", level, text, f"ACL SETUSER {rights.user} {' '.join(rules)}")
            )
    if rights.unknown:
        text = f"the server does not have the commands {', '.join(rights.unknown)}"
        hint = "undo `rename-command` for them, or use a Redis or Valkey that has them"
        found.append(Finding("online store", ERROR, text, hint))
    return found


def release_findings(digest: str | None, damage: str) -> list[Finding]:
    """Whether Airflow is pointed to the release that was deployed last.

    `damage` is what it lacks, in words.
    """
    if digest is None:
        return [Finding("release", WARNING, "nothing is deployed yet", "run `plane deploy`")]
    if damage:
        return [
            Finding("release", ERROR, damage, "run `plane deploy` again: it rewrites the release")
        ]
    return [Finding("release", OK, digest)]


def ailing_findings(ended: Sequence[str], silent: Sequence[str], home: Path) -> list[Finding]:
    """What is wrong with an embedded Airflow that is not healthy as a whole.

    Args:
        ended: components that have ended.
        silent: components that run and report no health.
        home: where their logs are.
    """
    found = []
    if ended:
        hint = f"see {home}/{ended[0]}.log; `plane airflow up` starts it again"
        found.append(Finding("airflow", ERROR, f"components have ended: {', '.join(ended)}", hint))
    if silent:
        text = f"it has just started, or is busy: no health is reported by {', '.join(silent)}"
        hint = f"run `plane doctor` again in a minute, then see {home}/{silent[0]}.log"
        found.append(Finding("airflow", WARNING, text, hint))
    return found


def drift_findings(found: Sequence[Drift], views: int) -> list[Finding]:
    """Whether all that was deployed is in the warehouse, as it was made.

    `views` is their number.
    """
    lost_hint = "run `plane deploy`: it makes it again, and `plane run` computes what is missing"
    outdated_hint = (
        "run `plane deploy`: it changes the table in place, and nothing is computed again"
    )
    damages = [damage for drift in found for damage in drift.damages]
    lost = [Finding("deployment", ERROR, str(d), lost_hint) for d in damages if not d.outdated]
    lost += [Finding("deployment", WARNING, str(d), outdated_hint) for d in damages if d.outdated]
    return lost or [Finding("deployment", OK, f"tables and public views of {views} feature views")]


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
            "airflow",
            ERROR,
            f"it can't read {error['filename']}",
            str(error["stack_trace"]).strip().split("\n")[-1],
        )
        for error in import_errors
    ]
    if missing := sorted(set(wanted) - set(shown)):
        hint = "wait for its dag-processor, or look at its log; a deploy is read within a minute"
        found.append(Finding("airflow", WARNING, f"it does not show {', '.join(missing)}", hint))
    if POOL not in pools:
        hint = f"make it: airflow pools set {POOL} 8 'warehouse'"
        found.append(
            Finding("airflow", ERROR, f"it has no pool {POOL}, so no task can start", hint)
        )
    return found or [Finding("airflow", OK, f"{len(wanted)} DAGs at {url}")]
