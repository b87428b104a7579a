"""Checks everything that a project depends on.

Each check gives findings with remedies. A check that fails does not stop the others.
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
# As in "redis>=6,<8" and "apache-airflow[standard]>=3.1,<4".
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?([<>=\d.,]*)")

# The commands of `plane online verify` and `plane online clean` that runs don't need.
_UPKEEP_RULES = {"+scan", "+unlink", "+pttl"}


class Finding(msgspec.Struct, frozen=True):
    """The result of a check: its subject, `ok`, `warning` or `error`, the facts, and what to do."""

    subject: str
    level: str
    message: str
    hint: str = ""


Check = tuple[str, Callable[[], Sequence[Finding]]]
"""A check's subject and its function; an error that the function raises becomes a finding."""


def examine(checks: Sequence[Check]) -> list[Finding]:
    """Run every check; a `PlaneError` becomes a finding, and the other checks still run."""
    findings: list[Finding] = []
    for subject, check in checks:
        try:
            findings.extend(check())
        except Problems as several:
            findings.extend(_failed(subject, problem) for problem in several.problems)
        except PlaneError as error:
            findings.append(_failed(subject, error))
        except OSError as error:
            failure = disk_error(error)
            if failure is None:
                raise
            findings.append(_failed(subject, failure))
    return findings


def _failed(subject: str, error: PlaneError) -> Finding:
    return Finding(
        subject,
        ERROR,
        f"{error.where}: {error.message}" if error.where else error.message,
        error.hint,
    )


def versions() -> list[Finding]:
    """Report the versions of Python and of the packages that matter."""
    findings = [Finding("python", OK, platform.python_version())]
    for package in _PACKAGES:
        try:
            findings.append(Finding(package, OK, version(package)))
        except PackageNotFoundError:
            hint = (
                "pip install 'controlplane[airflow]' on machines that run DAGs; everything"
                " else works without it"
            )
            findings.append(Finding(package, WARNING, "not installed", hint))
    return findings


def driver_findings(extra: str) -> list[Finding]:
    """Report the versions of a driver's packages, and whether they are supported.

    `extra` is the extra of this package that installs the driver.
    """
    findings = []
    for requirement in requires("controlplane") or ():
        parts = _REQUIREMENT.match(requirement)
        if parts is None or not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", requirement):
            continue
        name, supported = parts[1], ",".join(sorted(parts[2].split(","), reverse=True))
        try:
            installed = version(name)
        except PackageNotFoundError:
            findings.append(
                Finding(name, ERROR, "not installed", f"pip install 'controlplane[{extra}]'")
            )
            continue
        if fits(installed, supported):
            findings.append(Finding(name, OK, f"{installed}, supported are {supported}"))
        else:
            hint = f"pip install 'controlplane[{extra}]': other versions are not tested"
            findings.append(
                Finding(name, WARNING, f"{installed} is installed, supported are {supported}", hint)
            )
    return findings


def fits(installed: str, supported: str) -> bool:
    """Return whether a version lies between bounds such as `>=4,<6`."""
    numbers = _numbers(installed)
    bounds = [(bound[:1], _numbers(bound.lstrip("<>="))) for bound in supported.split(",") if bound]
    return all(numbers < limit if sign == "<" else numbers >= limit for sign, limit in bounds)


def _numbers(text: str) -> tuple[int, ...]:
    # At most three, so that a post-release or a build number decides nothing.
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def store_findings(store: OnlineStore | None, prefix: bytes) -> list[Finding]:
    """Report whether the online store answers, grants the rights, and keeps what is written.

    Args:
        store: the open store; None if the environment has none.
        prefix: the prefix of the environment's keys.
    """
    if store is None:
        return [Finding("online store", OK, "none: this environment is offline only")]
    lacking = _rights_findings(store.rights(prefix)) if isinstance(store, RightsProbe) else []
    if any({"+info", "+select"} & set(finding.hint.split()) for finding in lacking):
        return lacking  # the next command would be refused
    info = store.info()
    findings = [
        Finding("online store", OK, f"version {info.version}, {info.used_memory // 2**20} MB used")
    ]
    if info.eviction_policy:
        findings.append(Finding("online store", OK, f"maxmemory-policy {info.eviction_policy}"))
    eviction_concerns = list(eviction.concerns(info))
    # A fatal policy would be reported both as fine and as an error.
    if any(concern.fatal for concern in eviction_concerns):
        del findings[1:]
    concerns = [
        Finding("online store", ERROR if c.fatal else WARNING, c.message, c.hint)
        for c in eviction_concerns
    ]
    return findings + lacking + concerns


def _rights_findings(rights: Rights) -> list[Finding]:
    """Report the rights that the store's user lacks.

    It is an error if runs need the right, and a warning if only `plane online` does.
    """
    findings = []
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
            findings.append(
                Finding("online store", level, text, f"ACL SETUSER {rights.user} {' '.join(rules)}")
            )
    if rights.unknown:
        text = f"the server does not have the commands {', '.join(rights.unknown)}"
        hint = "undo `rename-command` for them, or use a Redis or Valkey that has them"
        findings.append(Finding("online store", ERROR, text, hint))
    return findings


def release_findings(digest: str | None, damage: str) -> list[Finding]:
    """Report whether Airflow reads the release that was deployed last.

    `damage` says what the release lacks; empty if it is complete.
    """
    if digest is None:
        return [Finding("release", WARNING, "nothing is deployed yet", "run `plane deploy`")]
    if damage:
        return [
            Finding("release", ERROR, damage, "run `plane deploy`: it writes the release again")
        ]
    return [Finding("release", OK, digest)]


def ailing_findings(ended: Sequence[str], silent: Sequence[str], home: Path) -> list[Finding]:
    """Report what is wrong with an embedded Airflow that is not healthy.

    Args:
        ended: components that have ended.
        silent: components that run and report no health.
        home: the folder with their logs.
    """
    findings = []
    if ended:
        hint = f"see {home}/{ended[0]}.log; `plane airflow up` starts it again"
        findings.append(
            Finding("airflow", ERROR, f"components have ended: {', '.join(ended)}", hint)
        )
    if silent:
        text = f"it has just started, or is busy: no health report from {', '.join(silent)}"
        hint = f"run `plane doctor` again in a minute, then see {home}/{silent[0]}.log"
        findings.append(Finding("airflow", WARNING, text, hint))
    return findings


def drift_findings(drifts: Sequence[Drift], views: int) -> list[Finding]:
    """Report whether the tables and public views of a number of views are as deployed."""
    lost_hint = "run `plane deploy`: it creates it again, and `plane run` computes what is missing"
    outdated_hint = (
        "run `plane deploy`: it changes the table in place, and nothing is computed again"
    )
    damages = [damage for drift in drifts for damage in drift.damages]
    lost = [Finding("deployment", ERROR, str(d), lost_hint) for d in damages if not d.outdated]
    lost += [Finding("deployment", WARNING, str(d), outdated_hint) for d in damages if d.outdated]
    return lost or [Finding("deployment", OK, f"tables and public views of {views} feature views")]


def airflow_findings(
    url: str,
    import_errors: Sequence[Mapping[str, Any]],
    shown: Collection[str],
    deployed: Collection[str],
    pools: Collection[str],
) -> list[Finding]:
    """Report whether a running Airflow reads the deployed DAGs and has the pool of their tasks.

    Args:
        url: the URL of its UI.
        import_errors: the import errors that its API returns.
        shown: the DAGs that it has read.
        deployed: the DAGs that are deployed.
        pools: its pools.
    """
    findings = [
        Finding(
            "airflow",
            ERROR,
            f"it can't read {error['filename']}",
            str(error["stack_trace"]).strip().split("\n")[-1],
        )
        for error in import_errors
    ]
    if missing := sorted(set(deployed) - set(shown)):
        hint = "wait for its dag-processor, or look at its log; a deploy is read within a minute"
        findings.append(Finding("airflow", WARNING, f"it does not show {', '.join(missing)}", hint))
    # Airflow leaves a task without its pool queued for ever, and only its scheduler's log says why.
    if POOL not in pools:
        hint = f"create it: airflow pools set {POOL} 8 'warehouse'"
        findings.append(
            Finding("airflow", ERROR, f"it has no pool {POOL}, so no task can start", hint)
        )
    return findings or [Finding("airflow", OK, f"{len(deployed)} DAGs at {url}")]
