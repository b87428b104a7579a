"""The manifest: everything that was declared, checked and resolved, as frozen data with one JSON
form."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from controlplane.base import naming
from controlplane.errors import Location, PlaneError
from controlplane.manifest.expectations import Expected
from controlplane.manifest.windows import Window, ZoneSpec

FORMAT = 3
"""The form of a manifest's JSON; `manifest.stored` migrates earlier ones."""
Column = tuple[str, str]
"""A column's name and its canonical type."""


class EntitySpec(msgspec.Struct, frozen=True):
    """An entity and its key columns."""

    name: str
    keys: tuple[Column, ...]
    owner: str
    description: str
    location: Location


class Pruning(msgspec.Struct, frozen=True):
    """The raw column by which a warehouse finds the rows of an interval.

    `scale` is None for a date or timestamp near the source's time; else the column is a number that
    counts parts of a second since the epoch, 10^scale of them in a second.
    """

    column: str
    scale: int | None


class SourceSpec(msgspec.Struct, frozen=True):
    """A table that views read, with the columns it had when the manifest was made.

    `timestamp` is the column with its time, as views see it; `time_sql` the expression that gives
    it, where the table has no such column. `lookback` is how much before an interval views see of
    it; None for everything.
    """

    name: str
    table: str
    timestamp: str | None
    settling_delay: timedelta
    columns: tuple[Column, ...]
    owner: str
    description: str
    location: Location
    expectations: tuple[Expected, ...] = ()
    lookback: timedelta | None = timedelta(0)
    time_sql: str = ""
    pruning: Pruning | None = None


class AttributeSpec(msgspec.Struct, frozen=True, tag_field="kind", tag="attribute"):
    """A row feature."""

    name: str
    type: str
    column: str
    description: str


class AggregateSpec(msgspec.Struct, frozen=True, tag_field="kind", tag="aggregate"):
    """One function over one window.

    `column` None counts rows, `column_type` is the column's canonical type.

    `n` and `q` are parameters of the functions that have them. With a second key (`by`) there is a
    list with one value for each of its values in the window, in ascending order; `lists_keys` is
    the list of these values themselves.
    """

    name: str
    type: str
    function: str
    column: str | None
    column_type: str | None
    where: str | None
    window: Window
    offset: timedelta
    description: str
    n: int | None = None
    q: float | None = None
    by: Column | None = None
    lists_keys: bool = False


Feature = AttributeSpec | AggregateSpec


class RowByRow(msgspec.Struct, frozen=True, tag_field="kind", tag="row_by_row"):
    """What the SQL returns over two intervals is what it returns over each: any range is one
    statement."""


class IntervalByInterval(msgspec.Struct, frozen=True, tag_field="kind", tag="interval_by_interval"):
    """Each interval is evaluated as if it were the only one.

    `construct` is the part of the SQL that asks for it, at `location`. `steady` says that the order
    in which rows come decides nothing, so that a warehouse that can may evaluate many intervals in
    one statement.
    """

    construct: str
    location: Location
    steady: bool


Evaluation = RowByRow | IntervalByInterval


class EventTimeBounds(msgspec.Struct, frozen=True):
    """`low <= event time - source time <= high`.

    The SQL returns the source's time as the column `source_time`.
    """

    low: timedelta
    high: timedelta
    source_time: str


class _View(msgspec.Struct, frozen=True, dict=True, kw_only=True, tag_field="kind"):
    """What all kinds of feature views have.

    `delay` is the largest settling delay of its sources. Its grids begin `phase` after the epoch;
    `zones` are those of its calendar windows. `evaluation` says how its SQL is computed; `bounds`
    are set where its event time is not that of its sources.
    """

    name: str
    fingerprint: str
    owner: str
    description: str
    tags: dict[str, str]
    location: Location
    entities: tuple[str, ...]
    keys: tuple[Column, ...]
    sources: tuple[str, ...]
    upstream: tuple[str, ...]
    sql: str
    tie_breaker: tuple[str, ...]
    features: tuple[Feature, ...]
    schedule: timedelta
    tile: timedelta
    delay: timedelta
    start: datetime
    end: datetime | None
    ttl: timedelta | None
    lateness: timedelta
    online: bool
    phase: timedelta = timedelta(0)
    zones: tuple[ZoneSpec, ...] = ()
    expectations: tuple[Expected, ...] = ()
    sync_shards: int = 1
    evaluation: Evaluation = RowByRow()
    bounds: EventTimeBounds | None = None

    @cached_property
    def attributes(self) -> tuple[AttributeSpec, ...]:
        """Its row features, in declared order."""
        return tuple(f for f in self.features if isinstance(f, AttributeSpec))

    @cached_property
    def aggregates(self) -> tuple[AggregateSpec, ...]:
        """Its aggregates, in declared order."""
        return tuple(f for f in self.features if isinstance(f, AggregateSpec))


class BatchViewSpec(_View, frozen=True, dict=True, kw_only=True, tag="batch"):
    """A batch feature view over events: `timestamp` is the column of its SQL with their event
    time."""

    timestamp: str


class StaticViewSpec(_View, frozen=True, dict=True, kw_only=True, tag="static"):
    """A batch feature view over sources without an event time: each run reads them as a whole."""

    timestamp: None = None


ViewSpec = BatchViewSpec | StaticViewSpec
"""Every kind of feature view.

Match it exhaustively (`assert_never`): mypy then lists what a new kind needs.
"""


class RequestField(msgspec.Struct, frozen=True):
    """What a caller gives with each read.

    `nullable` says whether it may be null, and be left out.
    """

    name: str
    type: str
    nullable: bool = False


class CalculationSpec(msgspec.Struct, frozen=True):
    """A feature from other features of its service: `inputs` are their full names, or names of
    request fields and of earlier calculations. It is an expression, or a function whose Python
    takes the inputs in order."""

    name: str
    type: str
    expression: str
    inputs: tuple[str, ...]
    description: str
    location: Location
    python: str = ""


class ServiceSpec(msgspec.Struct, frozen=True):
    """A feature service: its features as (view, feature), in declared order, behind them its
    calculations, and what its callers give."""

    name: str
    features: tuple[tuple[str, str], ...]
    owner: str
    description: str
    location: Location
    calculations: tuple[CalculationSpec, ...] = ()
    request: tuple[RequestField, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """One project in one environment.

    Views are in dependency order; `reader_role` may read them, if there is one.
    """

    project: str
    environment: str
    dialect: str
    schema: str
    now: datetime | None
    entities: tuple[EntitySpec, ...]
    sources: tuple[SourceSpec, ...]
    views: tuple[ViewSpec, ...]
    services: tuple[ServiceSpec, ...]
    format: int = FORMAT
    reader_role: str = ""

    @property
    def namespace(self) -> str:
        """First part of every Redis key of this environment."""
        return naming.namespace(self.project, self.environment)

    def view(self, name: str) -> ViewSpec:
        """The view of that name.

        Raises:
            PlaneError: there is none; the hint lists those that are.
        """
        for view in self.views:
            if view.name == name:
                return view
        raise _unknown("feature view", name, [v.name for v in self.views])

    def service(self, name: str) -> ServiceSpec:
        """The feature service of that name.

        Raises:
            PlaneError: there is none; the hint lists those that are.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise _unknown("feature service", name, [s.name for s in self.services])

    def read_view(self, source: SourceSpec) -> ViewSpec | None:
        """The view whose table the source reads; None if it is no view's."""
        name = naming.door_in(self.schema, source.table)
        if not name:  # asked for every source of 1,000 views, of which few read another one
            return None
        return next((view for view in self.views if view.name == name), None)

    def source(self, name: str) -> SourceSpec:
        """The source of that name; only names that the manifest itself holds are asked for."""
        return next(source for source in self.sources if source.name == name)


def _unknown(noun: str, name: str, known: list[str]) -> PlaneError:
    return PlaneError(
        f"there is no {noun} {name!r}",
        hint=f"choose from: {', '.join(known) or '(none is declared)'}",
    )
