"""Print lists of definitions, descriptions, deployments and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from controlplane.base.types import format_instant
from controlplane.cli.present import line, out, table
from controlplane.cli.results import described, sql_text

if TYPE_CHECKING:
    from controlplane.api.catalogue import (
        Catalogue,
        EntityEntry,
        FeatureEntry,
        ServiceEntry,
        SourceEntry,
        ViewEntry,
    )
    from controlplane.api.describe import Description
    from controlplane.api.history import HistoryEntry
    from controlplane.api.logs import LogEntry

_STATES = {"deployed": "green", "edited": "yellow", "new": "cyan", "removed": "red"}


def everything(catalogue: Catalogue) -> None:
    """Print one line for each definition except features."""
    entries: dict[str, Sequence[ViewEntry | ServiceEntry | EntityEntry | SourceEntry]] = {
        "feature view": catalogue.views,
        "feature service": catalogue.services,
        "entity": catalogue.entities,
        "source": catalogue.sources,
    }
    rows = [
        (kind, entry.name, entry.owner, _first_line(entry.description))
        for kind, listed in entries.items()
        for entry in listed
    ]
    table(("kind", "name", "owner", "meaning"), rows)
    line(f"{len(catalogue.features):,} features: plane list features")


def views(entries: Sequence[ViewEntry]) -> None:
    """Print feature views."""
    columns = ("feature view", "state", "keys", "features", "every", "sources", "owner")
    rows = [
        (
            entry.name,
            Text(entry.state, _STATES[entry.state]),
            ", ".join(entry.keys),
            f"{entry.features:,}",
            entry.schedule,
            ", ".join(entry.sources),
            entry.owner,
        )
        for entry in entries
    ]
    table(columns, rows)


def features(entries: Sequence[FeatureEntry]) -> None:
    """Print features."""
    rows = [(entry.name, entry.meaning, ", ".join(entry.services)) for entry in entries]
    table(("feature", "meaning", "services"), rows)


def services(entries: Sequence[ServiceEntry]) -> None:
    """Print feature services."""
    rows = [
        (
            entry.name,
            f"{entry.features:,}",
            ", ".join(entry.views),
            ", ".join(entry.request),
            entry.owner,
        )
        for entry in entries
    ]
    table(("feature service", "features", "feature views", "request", "owner"), rows)


def entities(entries: Sequence[EntityEntry]) -> None:
    """Print entities."""
    rows = [
        (entry.name, _text(entry.keys), ", ".join(entry.views), entry.owner) for entry in entries
    ]
    table(("entity", "keys", "feature views", "owner"), rows)


def sources(entries: Sequence[SourceEntry]) -> None:
    """Print sources."""
    rows = [
        (
            entry.name,
            entry.table,
            entry.timestamp or "",
            entry.settling_delay,
            ", ".join(entry.views),
            entry.owner,
        )
        for entry in entries
    ]
    columns = ("source", "table", "time", "settling delay", "feature views", "owner")
    table(columns, rows)


def descriptions(described_names: Sequence[Description]) -> None:
    """Print what is known of a name."""
    for number, description in enumerate(described_names):
        if number:
            line("")
        out.print(Text.assemble((f"{description.kind} {description.name}", "bold")))
        described({noun: _text(fact) for noun, fact in description.facts.items()})
        if description.features:
            line("")
            features(description.features)
        if description.sql:
            line("")
            sql_text(description.sql)


def history(entries: Sequence[HistoryEntry]) -> None:
    """Print deployments."""
    if not entries:
        line("Nothing is deployed yet.")
        return
    rows = [
        (
            str(entry.number),
            format_instant(entry.deployed_at.replace(microsecond=0)),
            entry.deployed_by,
            entry.release,
            _changes(entry),
        )
        for entry in entries
    ]
    table(("number", "deployed", "by", "release", "changes"), rows)


def logs(entries: Sequence[LogEntry]) -> None:
    """Print runs, each with the expectations that were not met."""
    if not entries:
        line("No run is recorded.")
        return
    rows = [
        (
            format_instant(entry.at.replace(microsecond=0)),
            Text(entry.state, "green" if entry.rows is not None else "red"),
            f"{format_instant(entry.interval.start)} .. {format_instant(entry.interval.end)}",
            "" if entry.rows is None else f"{entry.rows:,}",
            "" if entry.dropped is None else f"{entry.dropped:,}",
            entry.fingerprint,
        )
        for entry in entries
    ]
    table(("at", "run", "intervals", "rows", "dropped", "version"), rows)
    for entry in entries:
        for failure in entry.failed:
            colour = "bold red" if failure.startswith("error") else "bold yellow"
            severity, _, rest = failure.partition(": ")
            out.print(Text.assemble((f"{severity}: ", colour), f"{entry.interval}: {rest}"))


def _changes(entry: HistoryEntry) -> str:
    signs = (("+", entry.created), ("~", entry.redefined), ("-", entry.dropped))
    changes = [f"{sign} {name}" for sign, names in signs for name in names]
    return ", ".join(changes) or "no values change"


def _text(fact: Any) -> str:  # noqa: ANN401 - facts are of any type
    match fact:
        case bool():
            return "yes" if fact else "no"
        case datetime():
            return format_instant(fact.replace(microsecond=0))
        case Mapping():
            return ", ".join(f"{name} {value}" for name, value in fact.items())
        case list() | tuple():
            return ", ".join(map(_text, fact))
        case int():
            return f"{fact:,}"
        case _:
            return " ".join(str(fact).split())


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
