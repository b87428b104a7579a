"""Prove how a view's SQL is computed, and what its event time is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import msgspec
from sqlglot import exp

from controlplane.base.ports import folded
from controlplane.base.types import format_duration
from controlplane.compile.changeable import changeable
from controlplane.compile.evaluation import Analysis, analyse
from controlplane.compile.lineage import Source, own_time
from controlplane.compile.positions import position
from controlplane.compile.problems import Collector, listing
from controlplane.compile.sources import parsed
from controlplane.definitions import BatchFeatureView
from controlplane.manifest.specs import (
    Column,
    Evaluation,
    EventTimeBounds,
    IntervalByInterval,
    RowByRow,
    SourceSpec,
)


@dataclass(frozen=True)
class Proved:
    """How a view's SQL is computed; and, if its event time is not a source's, the bounds of it."""

    evaluation: Evaluation
    bounds: EventTimeBounds | None


def prove(
    view: BatchFeatureView,
    subject: str,
    sql: str,
    tree: exp.Query,
    sources: Sequence[SourceSpec],
    timestamp: str | None,
    delay: timedelta,
    returned: Collection[str],
    dialect: str,
    hidden: Collection[str],
    collector: Collector,
) -> Proved:
    """Prove how a view's SQL is computed; note what no view's SQL may do.

    Args:
        view: the definition.
        subject: what messages call it.
        sql: its text.
        tree: what that parses to; it is not changed.
        sources: its sources.
        timestamp: the event time's column in the result; None for a static view.
        delay: the view's settling delay.
        returned: the columns that the SQL returns, as the warehouse spells them; empty if the
            event time is not among them, which is noted elsewhere.
        dialect: of the text.
        hidden: names of users' functions that hide functions of the warehouse.
        collector: takes the problems.
    """
    for call in changeable(sql, dialect):
        collector.add(
            f"{subject}: the value of {call.name} in its SQL depends on more than the rows: on the"
            " clock, on random numbers or on the session",
            position(view, sql, call.line),
            "a second run of an interval would give other rows: compute it from the sources'"
            " columns",
        )
    # The proof runs on names alone: it asks the warehouse nothing.
    known = {source.name: _known(source, dialect) for source in sources}
    analysis = analyse(sql, tree, dialect, known, hidden)
    for words, line in analysis.refused:
        collector.add(
            f"{subject}: its SQL reads {words}",
            position(view, sql, line),
            "declare every table as a source, and read it by the source's name: an interval sees"
            " only its own rows of a source, but it would also see future rows of other tables",
        )
    evaluation: Evaluation = RowByRow()
    if timestamp is not None and analysis.construct is not None:
        words, line = analysis.construct
        location = collector.located(position(view, sql, line))
        evaluation = IntervalByInterval(words, location, analysis.steady)
    bounds = None
    if timestamp is not None and returned and not analysis.refused:
        bounds = _bounds(view, subject, timestamp, analysis, known, delay, collector)
        if bounds is not None:
            spelled = {folded(name): name for name in returned}
            bounds = msgspec.structs.replace(
                bounds, source_time=spelled.get(bounds.source_time, bounds.source_time)
            )
    elif view.event_time_bounds is not None and timestamp is None:
        text = f"{subject}: a view without an event time can't have event_time_bounds"
        collector.add(text, view.location, "remove them, or give a source its timestamp")
    return Proved(evaluation, bounds)


# Many views read the same source.
@lru_cache
def _certain(columns: tuple[Column, ...]) -> Sequence[str]:
    """Return the folded names of the columns that a name in SQL can mean."""
    # Two columns may differ only in quotes or case: then the SQL does not say which one it reads.
    counts = Counter(folded(name) for name, _ in columns)
    return [name for name, count in counts.items() if count == 1]


def _known(source: SourceSpec, dialect: str) -> Source:
    names = _certain(source.columns)
    hidden = len(names) < len(source.columns)
    if source.timestamp is None:
        return Source(names, open=hidden)
    time = folded(source.timestamp)
    if source.time_sql:
        return Source([*names, time], time, parsed(source.time_sql, dialect), hidden)
    return Source(names, time, open=hidden)


def _bounds(
    view: BatchFeatureView,
    subject: str,
    timestamp: str,
    analysis: Analysis,
    sources: Mapping[str, Source],
    delay: timedelta,
    collector: Collector,
) -> EventTimeBounds | None:
    """Return the bounds of the event time; they are declared only if it is not a source's own."""
    own = own_time(analysis.columns.get(folded(timestamp), frozenset()), sources)
    timed = {name: source.time for name, source in sources.items() if source.time is not None}
    if view.event_time_bounds is None:
        if not own:
            named = listing(f"{name}.{time}" for name, time in timed.items())
            collector.add(
                f"{subject}: its event time {timestamp!r} is not provably the time of a source"
                f" ({named})",
                view.location,
                "return that column unchanged; or, if the column is not in UTC, give the source an"
                " expression as its timestamp; or declare event_time_bounds=(low, high), the"
                " bounds of event time minus source time",
            )
        return None
    if own:
        text = (
            f"{subject}: its event time {timestamp!r} is a source's own time, so there is nothing"
            " to bound"
        )
        collector.add(text, view.location, "remove event_time_bounds")
        return None
    low, high = (
        collector.signed_duration(f"{subject}, event_time_bounds", bound, view.location)
        for bound in view.event_time_bounds
    )
    if low is None or high is None:
        return None
    if low > high:
        text = f"{subject}: the upper bound of event_time_bounds is below the lower bound"
        collector.add(text, view.location, "give the lower bound first")
        return None
    if -low > delay:
        collector.add(
            f"{subject}: rows come up to {format_duration(-low)} after their event time, and its"
            f" settling delay is {format_duration(delay)}: values would be visible before their"
            " rows have arrived",
            view.location,
            f"give a source settling_delay={format_duration(-low)!r}, or more",
        )
        return None
    # Any column with a source's time will do: it shows which rows are outside the bounds.
    for name, origins in analysis.columns.items():
        if name != folded(timestamp) and own_time(origins, sources):
            return EventTimeBounds(low, high, name)
    collector.add(
        f"{subject}: its SQL does not return the time of a source, which its event_time_bounds"
        " need",
        view.location,
        "return one of these columns unchanged:"
        f" {listing(dict.fromkeys(str(time) for time in timed.values()))}",
    )
    return None
