"""Says which values the evaluated rows decide if they are not all rows (`evaluated.MOST_APART`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controlplane.base.types import format_instant, micros
from controlplane.verify.evaluated import MOST_APART, Evaluated
from controlplane.verify.expected import TIME
from controlplane.verify.oracle import Row, RowFeature, View, WindowFeature
from controlplane.verify.sampling import longest


class Coverage:
    """The values of a view's features that its rows from some instant on decide.

    Args:
        view: the oracle's definition.
        evaluated: the view's rows.
    """

    def __init__(self, view: View, evaluated: Evaluated) -> None:
        self._view, self._evaluated = view, evaluated
        self._since = micros(evaluated.start)

    @property
    def first(self) -> int:
        """The first instant at which any feature is decided, in microseconds since the epoch."""
        if self._evaluated.complete:
            return self._view.start
        known = [at for feature in self._view.features if (at := self._begins(feature)) is not None]
        return max(self._view.start, min(known, default=self._view.start))

    def decides(self, feature: RowFeature | WindowFeature, at: int, rows: Sequence[Row]) -> bool:
        """Return whether a feature's value depends on the evaluated rows alone.

        Args:
            feature: a feature of the view.
            at: the instant, in microseconds since the epoch.
            rows: the evaluated rows of the entity.
        """
        if self._evaluated.complete:
            return True
        view, begins = self._view, self._begins(feature)
        if not isinstance(feature, RowFeature):
            return begins is not None and at >= begins
        if view.ttl is not None and at >= self._since + view.delay + view.ttl:
            return True  # all earlier rows have expired
        return any(self._seen(row[TIME]) <= at for row in rows)

    def notes(self, last: int) -> Iterator[str]:
        """Yield what a report says is left out; `last` is the latest instant of a sample."""
        if self._evaluated.complete:
            return
        yield (
            f"each interval is evaluated in a query of its own, so only the newest {MOST_APART}"
            f" intervals are evaluated: rows from {format_instant(self._evaluated.start)} on"
        )
        if long := self.undecided(last):
            yield (
                f"{', '.join(long)}: not compared, since their windows begin before these intervals"
            )
        if self._view.ttl is None and any(
            isinstance(feature, RowFeature) for feature in self._view.features
        ):
            yield "row features are compared only where the entity has a row in these intervals"

    def undecided(self, last: int) -> list[str]:
        """Return the names of the features that have no decided value up to an instant."""
        begins = {feature.name: self._begins(feature) for feature in self._view.features}
        return [name for name, at in begins.items() if at is None or at > last]

    def _begins(self, feature: RowFeature | WindowFeature) -> int | None:
        """Return the first instant at which a feature may be decided, or None."""
        if isinstance(feature, RowFeature):
            return self._seen(self._since)
        if (length := longest(feature)) is None:
            return None
        # Rounded up to the schedule: `//` rounds down, so the operands are negated.
        step, phase = self._view.schedule, self._view.phase
        return phase - (phase - self._since - length) // step * step + self._view.delay

    def _seen(self, time: int) -> int:
        """Return when a row with this event time becomes visible."""
        view = self._view
        return (
            (time - view.phase) // view.schedule * view.schedule
            + view.phase
            + view.schedule
            + view.delay
        )
