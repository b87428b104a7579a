"""The manifest: the checked definitions of a project, as frozen data with one JSON form."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from controlplane.base import naming
from controlplane.base.types import Tasks, is_list
from controlplane.errors import Location, PlaneError
from controlplane.manifest.expectations import Expected
from controlplane.manifest.windows import SeriesWindow, Window, ZoneSpec

FORMAT = 3
"""The version of a manifest's JSON; `manifest.stored` migrates earlier versions."""
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

    `scale` is None for a date or timestamp near the source's time. Otherwise the column is a number
    of units since the epoch; a second has 10^scale units.
    """

    column: str
    scale: int | None


class SourceSpec(msgspec.Struct, frozen=True):
    """A table that views read, with the columns it had when the manifest was made.

    `timestamp` is the column with its time, as views see it; `time_sql` is the expression of it, if
    the table has no such column. `lookback` is how long before an interval its rows are visible;
    None: without a limit.
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

    Without a `column` it counts rows; `column_type` is the column's canonical type. `n` and `q` are
    parameters of some functions. With a second key (`by`) it is the list of results for each value
    of that column in the window, in ascending order; with `lists_keys` it is the list of these
    values.
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

    @property
    def default(self) -> int | tuple[int | None, ...] | None:
        """Its value where there is no row at all: 0 for counts, an empty list, else null.

        A series of these.
        """
        if self.by:
            return ()
        nothing = (
            0 if self.function in ("count", "count_distinct", "approx_count_distinct") else None
        )
        if isinstance(self.window, SeriesWindow):
            return (nothing,) * self.window.steps
        return () if is_list(self.type) else nothing


Feature = AttributeSpec | AggregateSpec


class RowByRow(msgspec.Struct, frozen=True, tag_field="kind", tag="row_by_row"):
    """Over two intervals, the SQL returns the rows that it returns over each of them.

    So one statement can compute any range of intervals.
    """


class IntervalByInterval(msgspec.Struct, frozen=True, tag_field="kind", tag="interval_by_interval"):
    """Each interval is evaluated as if it were the only one.

    `construct` is the part of the SQL that requires it, at `location`. `steady` means that the
    result is the same in any order of rows: then one statement may evaluate many intervals, if the
    warehouse can do that.
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


# `dict=True` gives instances the `__dict__` that `cached_property` needs.
class _View(msgspec.Struct, frozen=True, dict=True, kw_only=True, tag_field="kind"):
    """The common part of feature views.

    `delay` is the largest settling delay of its sources. Its grids begin `phase` after the epoch;
    `zones` are the time zones of its calendar windows. `evaluation` says how its SQL is computed;
    `bounds` are set if its event time is not that of a source.
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
    tasks: Tasks = "steps"
    evaluation: Evaluation = RowByRow()
    bounds: EventTimeBounds | None = None

    @cached_property
    def attributes(self) -> tuple[AttributeSpec, ...]:
        """Return its row features, in declared order."""
        return tuple(f for f in self.features if isinstance(f, AttributeSpec))

    @cached_property
    def aggregates(self) -> tuple[AggregateSpec, ...]:
        """Return its aggregates, in declared order."""
        return tuple(f for f in self.features if isinstance(f, AggregateSpec))


class BatchViewSpec(_View, frozen=True, dict=True, kw_only=True, tag="batch"):
    """A batch feature view over events; `timestamp` is the column of its SQL with their time."""

    timestamp: str


class StaticViewSpec(_View, frozen=True, dict=True, kw_only=True, tag="static"):
    """A batch feature view over sources without an event time: each run reads them as a whole."""

    # Typed, so that mypy narrows `view.timestamp` by the class of the view.
    timestamp: None = None


ViewSpec = BatchViewSpec | StaticViewSpec
"""All kinds of feature views.

Match them exhaustively (`assert_never`): then mypy lists the code that a new kind needs.
"""


class RequestField(msgspec.Struct, frozen=True):
    """A value that a caller sends with each read; a `nullable` one may be null or absent."""

    name: str
    type: str
    nullable: bool = False


class CalculationSpec(msgspec.Struct, frozen=True):
    """A feature that is computed from other features of its service.

    `inputs` are full names of features, or names of request fields and of earlier calculations. It
    is a SQL `expression` over them, or a `python` function that takes them in order.
    """

    name: str
    type: str
    expression: str
    inputs: tuple[str, ...]
    description: str
    location: Location
    python: str = ""


class ServiceSpec(msgspec.Struct, frozen=True):
    """A feature service: its features as (view, feature) in declared order, then its calculations.

    `request` are the values that its callers send.
    """

    name: str
    features: tuple[tuple[str, str], ...]
    owner: str
    description: str
    location: Location
    calculations: tuple[CalculationSpec, ...] = ()
    request: tuple[RequestField, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """One project in one environment.

    Views are in dependency order. The role `reader_role`, unless empty, may read the public views.
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
        """Return the first part of every Redis key of this environment."""
        return naming.namespace(self.project, self.environment)

    def view(self, name: str) -> ViewSpec:
        """Return the view of that name.

        Raises:
            PlaneError: there is none; the hint lists the names that exist.
        """
        for view in self.views:
            if view.name == name:
                return view
        raise _unknown("feature view", name, [v.name for v in self.views])

    def service(self, name: str) -> ServiceSpec:
        """Return the feature service of that name.

        Raises:
            PlaneError: there is none; the hint lists the names that exist.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise _unknown("feature service", name, [s.name for s in self.services])

    def views_of(self, service: ServiceSpec) -> list[ViewSpec]:
        """The views that a service reads, in the order of its features."""
        return [self.view(name) for name in dict.fromkeys(view for view, _ in service.features)]

    def read_view(self, source: SourceSpec) -> ViewSpec | None:
        """Return the view whose public view the source reads; None if it reads another table."""
        name = naming.view_of_table(self.schema, source.table)
        if not name:  # asked for every source of 1,000 views, of which few read another one
            return None
        return next((view for view in self.views if view.name == name), None)

    def source(self, name: str) -> SourceSpec:
        """Return the source of that name, which must be a name from this manifest."""
        return next(source for source in self.sources if source.name == name)


def _unknown(noun: str, name: str, known: list[str]) -> PlaneError:
    return PlaneError(
        f"there is no {noun} {name!r}",
        hint=f"choose from: {', '.join(known) or '(none is declared)'}",
    )
