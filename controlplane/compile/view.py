"""Compile one feature view: its time, its SQL, its columns, its features, its fingerprint."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import msgspec
from sqlglot import exp

from controlplane.base.ports import Warehouse
from controlplane.base.types import Tasks, parse_type
from controlplane.compile import queries, run_tasks, transformation
from controlplane.compile.chaining import check_chain
from controlplane.compile.expectations import Relation, compile_expectations
from controlplane.compile.features import compile_features, conditions
from controlplane.compile.fingerprints import fingerprint
from controlplane.compile.grid import check_grid
from controlplane.compile.problems import Collector, listing
from controlplane.compile.reserved import is_reserved
from controlplane.compile.rows import prove
from controlplane.compile.usercode import running
from controlplane.compile.windows import trimmed, zone_spec
from controlplane.definitions import BatchFeatureView
from controlplane.errors import Location, PermanentError, PlaneError
from controlplane.manifest.specs import (
    AggregateSpec,
    BatchViewSpec,
    Column,
    Feature,
    SourceSpec,
    StaticViewSpec,
    ViewSpec,
)
from controlplane.manifest.timing import span
from controlplane.manifest.windows import CalendarWindow, ZoneSpec

# The parser and all warehouses write line numbers this way.
_LINE = re.compile(r"\b(line )(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Context:
    """What a view is compiled against.

    Attributes:
        dialect: of its SQL.
        schema: of the public views.
        warehouse: describes queries.
        sources: by name; None for a source that has problems of its own.
        views: those compiled before, by name.
        upstream: names of the views that it reads.
        macros: names of users' functions that hide functions of the warehouse.
        tasks: of a run in Airflow, for views that don't say it.
        collector: takes the problems.
    """

    dialect: str
    schema: str
    warehouse: Warehouse
    sources: Mapping[str, SourceSpec | None]
    views: Mapping[str, ViewSpec]
    upstream: Sequence[str]
    macros: frozenset[str]
    tasks: Tasks
    collector: Collector


Compilation = Generator[str, Mapping[str, str] | PermanentError, ViewSpec | None]
"""Yields one query, receives its columns or its error, and returns a view or None."""


def compile_view(view: BatchFeatureView, context: Context) -> Compilation:
    """Compile a view; None after its problems were noted.

    It is a generator, so that one request to the warehouse describes the queries of many views.
    """
    collector = context.collector
    subject = f"feature view {view.name!r}"
    before = len(collector.problems)
    keys = _keys(view, subject, collector)
    parameters = list(inspect.signature(view.transformation).parameters)
    sources = _sources(view, subject, parameters, context)
    grid = check_grid(view, subject, collector)
    written = _sql(view, subject, parameters, context)
    if sources is None or written is None or grid is None:
        return None
    sql, tree = written
    run_tasks.check(view, subject, collector)
    timestamp, delay = _timestamp(view, subject, sources, collector)
    for name in context.upstream:
        check_chain(subject, view.location, grid, delay, context.views[name], collector)
    relations = queries.relations(sources, context.schema, context.views, context.dialect)
    framed = transformation.framed(sql, relations)
    query = queries.with_conditions(framed, conditions(view, context.dialect))
    columns = yield query
    # In the query above, the SQL is a CTE, where DuckDB renames the second of two equal names. As
    # the main query it shows the names as the user wrote them.
    if not isinstance(columns, PermanentError) and queries.may_be_renamed(columns):
        [named] = context.warehouse.describe_all(
            [transformation.unframed(sql, relations, context.dialect)]
        )
        columns = named if isinstance(named, PermanentError) else columns
    # The proof also notes reads that are refused, so it runs even if the columns are not known.
    returned = () if isinstance(columns, PermanentError) or timestamp not in columns else columns
    proved = prove(
        view,
        subject,
        sql,
        tree,
        sources,
        timestamp,
        delay,
        returned,
        context.dialect,
        context.macros,
        collector,
    )
    if isinstance(columns, PermanentError):
        _refused(view, subject, columns, query.partition(sql)[0].count("\n"), collector)
        return None
    if proved.bounds is not None and proved.bounds.low < timedelta(0) and context.upstream:
        hint = (
            "declare event_time_bounds in the feature view that it reads, or read that view's own"
            " sources"
        )
        text = (
            f"{subject}: it reads a feature view, so its event time can't be before that view's"
            " time"
        )
        collector.add(text, view.location, hint)
    for name, column_type in keys:
        _check_column(
            f"{subject}: key column {name!r}", name, column_type, columns, view, collector
        )
    if timestamp is not None:
        _check_column(
            f"{subject}: event time {timestamp!r}", timestamp, "timestamp", columns, view, collector
        )
    for name in view.tie_breaker:
        _check_column(f"{subject}: tie_breaker {name!r}", name, None, columns, view, collector)
    taken = {name for name, _ in keys}
    features = compile_features(view, subject, grid, columns, taken, context.dialect, collector)
    if timestamp is None and any(isinstance(feature, AggregateSpec) for feature in features):
        hint = "give a source its timestamp, or aggregate in the SQL"
        collector.add(
            f"{subject}: without an event time there are no windows to aggregate over",
            view.location,
            hint,
        )
    rows = Relation(
        {
            name: column_type
            for name, column_type in columns.items()
            if not name.startswith("plane_where_")
        },
        framed,
        transformation.OUTPUT,
    )
    expectations = compile_expectations(
        view.expectations,
        subject,
        view.location,
        rows,
        context.dialect,
        context.warehouse,
        collector,
    )
    if len(collector.problems) > before:
        return None
    spec_of: Callable[..., ViewSpec] = (
        StaticViewSpec if timestamp is None else partial(BatchViewSpec, timestamp=timestamp)
    )
    spec = spec_of(
        name=view.name,
        fingerprint="",
        owner=view.owner,
        description=view.description,
        tags=dict(sorted(view.tags.items())),
        location=collector.located(view.location),
        entities=tuple(e.name for e in view.entities),
        keys=tuple(keys),
        sources=tuple(s.name for s in sources),
        upstream=tuple(context.upstream),
        sql=sql,
        tie_breaker=tuple(view.tie_breaker),
        features=tuple(features),
        schedule=grid.schedule,
        tile=grid.tile,
        delay=delay,
        start=grid.start,
        end=grid.end,
        ttl=grid.ttl,
        lateness=grid.lateness,
        online=view.online,
        phase=grid.phase,
        zones=_zones(features, grid.start),
        expectations=expectations,
        sync_shards=view.sync_shards,
        tasks=run_tasks.tasks(view, context.tasks),
        evaluation=proved.evaluation,
        bounds=proved.bounds,
    )
    upstream = [context.views[name].fingerprint for name in context.upstream]
    canonical = transformation.spelled(tree, context.dialect)
    # The fingerprint is a digest of the finished spec, so it is filled in last.
    return msgspec.structs.replace(
        spec, fingerprint=fingerprint(spec, canonical, sources, upstream, context.dialect)
    )


def _zones(features: Sequence[Feature], start: datetime) -> tuple[ZoneSpec, ...]:
    windows = [feature.window for feature in features if isinstance(feature, AggregateSpec)]
    names = sorted({window.zone for window in windows if isinstance(window, CalendarWindow)})
    if not names:
        return ()
    longest = max((span(f) for f in features if isinstance(f, AggregateSpec)), default=timedelta(0))
    return tuple(trimmed(zone_spec(name), start - longest - timedelta(days=62)) for name in names)


def _keys(view: BatchFeatureView, subject: str, collector: Collector) -> list[Column]:
    if not view.entities:
        collector.add(f"{subject} has no entities", view.location, "give entities=[...]")
    keys: dict[str, str] = {}
    for entity in view.entities:
        for name, text in entity.keys.items():
            # Warehouses fold names: keys that differ only in case would be one column.
            if name.lower() in {other.lower() for other in keys}:
                collector.add(
                    f"{subject}: two of its entities have the key {name!r}",
                    view.location,
                    "rename one key",
                )
            try:
                keys[name] = parse_type(text)
            except ValueError:
                continue  # noted with the entity
    return list(keys.items())


def _sources(
    view: BatchFeatureView, subject: str, parameters: Sequence[str], context: Context
) -> list[SourceSpec] | None:
    """Return the specs of the sources; None if one of them has problems, which are noted."""
    collector = context.collector
    names = [source.name for source in view.sources]
    if not names:
        collector.add(f"{subject} has no sources", view.location, "give sources=[...]")
        return None
    if sorted(parameters) != sorted(names):
        text = (
            f"{subject}: its function takes ({listing(parameters)}), its sources are"
            f" ({listing(names)})"
        )
        collector.add(text, view.location, "name each parameter after a source")
    specs: list[SourceSpec] = []
    for source in view.sources:
        if source.name not in context.sources:
            hint = "define it at the top of a definition file"
            collector.add(
                f"{subject}: source {source.name!r} is not defined in this project",
                view.location,
                hint,
            )
            return None
        spec = context.sources[source.name]
        if spec is None or not spec.columns:
            return None
        specs.append(spec)
    return specs


def _sql(
    view: BatchFeatureView, subject: str, parameters: Sequence[str], context: Context
) -> tuple[str, exp.Query] | None:
    """Return the SQL and its tree; None after a problem was noted."""
    if sorted(parameters) != sorted(source.name for source in view.sources):
        return None  # noted with the sources
    if any(is_reserved(source.name, context.dialect) for source in view.sources):
        return None  # noted with the source
    try:
        with running(f"{subject}: its function", view.location.file, view.location):
            text = transformation.one_statement(transformation.text_of(view), context.dialect)
    except PlaneError as error:
        context.collector.adopt(error)
        return None
    try:
        return text, transformation.query(text, context.dialect)
    except ValueError as error:
        context.collector.add(f"{subject}: {error}", _line(view, str(error)), "correct the SQL")
        return None


def _line(view: BatchFeatureView, text: str) -> Location:
    """Return the location of an error: a line of the SQL's own file, or else the view's."""
    if view.sql_file is None:
        return view.location
    named = _LINE.search(text)
    return Location(str(transformation.sql_path(view)), int(named[2]) if named else 1)


def _refused(
    view: BatchFeatureView, subject: str, error: PermanentError, before: int, collector: Collector
) -> None:
    """Note the warehouse's error; `before` lines of the query precede the view's own SQL."""

    # The user knows only the lines of the SQL: error messages must not count ours.
    def own(named: re.Match[str]) -> str:
        return f"{named[1]}{max(int(named[2]) - before, 1)}"

    message, hint = (_LINE.sub(own, text) for text in (error.message, error.hint))
    text = f"{subject}: the warehouse refuses its SQL: {message}"
    collector.add(text, _line(view, f"{message} {hint}"), hint)


def _timestamp(
    view: BatchFeatureView, subject: str, sources: Sequence[SourceSpec], collector: Collector
) -> tuple[str | None, timedelta]:
    timed = [source for source in sources if source.timestamp is not None]
    timestamp = view.timestamp or (timed[0].timestamp if timed else None)
    if not timed and timestamp is not None:
        hint = "give a source its timestamp, or remove timestamp="
        collector.add(
            f"{subject} has a timestamp, but none of its sources has one", view.location, hint
        )
    return timestamp, max((source.settling_delay for source in sources), default=timedelta(0))


def _check_column(
    subject: str,
    name: str,
    expected_type: str | None,
    columns: Mapping[str, str],
    view: BatchFeatureView,
    collector: Collector,
) -> None:
    if name not in columns:
        hint = f"it returns: {listing(columns)}"
        collector.add(f"{subject} is not returned by the view's SQL", view.location, hint)
    elif expected_type is not None and columns[name] != expected_type:
        hint = f"cast it in the SQL, or declare {columns[name]!r}"
        collector.add(
            f"{subject} is {columns[name]}, declared {expected_type}", view.location, hint
        )
