"""Which intervals a deployed manifest still has to compute, and when an event becomes visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from controlplane.registry.manifest import Manifest
from controlplane.registry.schedule import timing
from controlplane.types import Interval, subtract


class Stretch(msgspec.Struct, frozen=True):
    """A half-open stretch of time, and how many intervals of the view's schedule it holds."""

    start: datetime
    end: datetime
    intervals: int


class Cost(msgspec.Struct, frozen=True):
    """What a run of one interval takes: `low` to `high` of a `unit`, as `basis` has it.

    The unit is `rows` that its SQL returns, or `bytes` that it reads; the basis `earlier runs`, or the warehouse's
    `estimate` before it runs.
    """

    low: int
    high: int
    unit: str
    basis: str


class Forecast(msgspec.Struct, frozen=True):
    """What one view has to compute, and when an event at `event` becomes visible in it (`visible_at`)."""

    view: str
    fingerprint: str
    missing: tuple[Stretch, ...]
    event: datetime
    visible_at: datetime
    costs: tuple[Cost, ...] = ()

    @property
    def intervals(self) -> int:
        """How many intervals are missing."""
        return sum(stretch.intervals for stretch in self.missing)


Covered = Callable[[str, str], Sequence[Interval]]
"""What is covered of a version: (view, fingerprint) -> intervals."""


def forecast(manifest: Manifest, covered: Covered, now: datetime) -> tuple[Forecast, ...]:
    """The forecast of every view at `now`; the example event is the last instant of the newest due interval."""
    found = []
    for view in manifest.views:
        times = timing(view)
        due = times.due(now)
        gaps = subtract(due, list(covered(view.name, view.fingerprint))) if due else []
        stretches = tuple(Stretch(gap.start, gap.end, gap.count(view.schedule)) for gap in gaps)
        event = (due.end if due else view.start) - view.schedule / 2
        found.append(Forecast(view.name, view.fingerprint, stretches, event, times.visible(event)))
    return tuple(found)


def covered_by(publications: Mapping[tuple[str, str], Sequence[Interval]], schema: str) -> Covered:
    """`Covered` from the ledger's intervals by (`schema.view`, fingerprint)."""
    return lambda view, fingerprint: publications.get((f"{schema}.{view}", fingerprint), ())
