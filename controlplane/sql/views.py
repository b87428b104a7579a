"""The SQL of one feature view, filled from the templates in `dag_templates/sql`.

What a run decides stays open in the text, in Airflow's own delimiters: `plane.start`, `plane.end`
(the interval), `plane.read_start` (where its data begins), `plane.stage` (the stage's name) and
`plane.run_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from controlplane.base import naming, template
from controlplane.base.types import MICROSECOND
from controlplane.compile import transformation
from controlplane.manifest.specs import AggregateSpec, Manifest, ViewSpec
from controlplane.manifest.timing import depth, endless, reach, read_start, tile_length
from controlplane.sql import expectations, rollups
from controlplane.sql.aggregates import Names, TileSchema, Windows
from controlplane.sql.dialects import dialect
from controlplane.sql.instants import Extent, instants
from controlplane.sql.public_views import Doors
from controlplane.sql.ranges import Owner
from controlplane.sql.rows import OUTSIDE, RowsSql, Step, rows_sql
from controlplane.sql.secondary_keys import Second
from controlplane.sql.staged_rows import StagedRows
from controlplane.sql.tables import Tables, qualified
from controlplane.sql.windows import Calendar, Frames, Pairs, calendar_sql, calendars, shifts, turns

_NEVER = datetime(9999, 1, 1)  # noqa: DTZ001 - text for the warehouse, in UTC like all of it
FILES = ("setup", "stage", "check", "publish", "unstage", "sync", "doors")


@dataclass(frozen=True)
class ViewSql:
    """The texts of one view, by the names of `FILES`."""

    setup: str
    stage: str
    check: str
    publish: str
    unstage: str
    sync: str
    doors: str


def context(
    manifest: Manifest, view: ViewSpec, extent: Extent, doors: Mapping[str, str]
) -> _Context:
    """What the templates may ask of a view.

    `doors` are relations that stand for tables of these names.
    """
    return _Context(manifest, view, extent, doors)


def render_view(manifest: Manifest, view: ViewSpec) -> ViewSql:
    """All SQL of one view. Equal manifests give equal bytes."""
    context = {"v": _Context(manifest, view, Extent(), {})}
    forms = {} if dialect(manifest.dialect).framed else {"publish": "merge"}
    return ViewSql(
        **{name: template.render(f"sql/{forms.get(name, name)}.sql.j2", context) for name in FILES}
    )


class _Context(Tables):
    """What the templates may ask for: every attribute is SQL text, or a list of names with SQL
    text."""

    def __init__(
        self, manifest: Manifest, view: ViewSpec, extent: Extent, doors: Mapping[str, str]
    ) -> None:
        self._view = view
        self._manifest = manifest
        self._extent = extent
        self._doors = doors
        # Only a release is filled once more.
        self._literal = template.escape if extent == Extent() else str
        self._d = self.d = d = dialect(manifest.dialect)
        at = instants(view, extent, d)
        self.start, self.interval_start, self.interval_end = (
            at.start,
            at.interval_start,
            at.interval_end,
        )
        self.read_start, self.read_end, self.frontier = at.read_start, at.read_end, at.watermark
        self.points_after, self.attributes_since = at.points_after, at.attributes_since
        self._sources = [manifest.source(name) for name in view.sources]
        keys = [name for name, _ in view.keys]
        features = [feature.name for feature in view.features]
        self._ties = {column: f"tie__{index}" for index, column in enumerate(view.tie_breaker)}
        names = Names({*keys, *features, *self._ties.values(), "event_time", "tile_start"})
        order = ["event_time", *(d.quote(name) for name in self._ties.values())]
        owner = Owner(f"feature view '{view.name}'", view.keys)
        self._tiles = TileSchema([a for a in view.aggregates if not a.by], names, order, d, owner)
        self.keys = [d.quote(name) for name in keys]
        by = dict.fromkeys(a.by for a in view.aggregates if a.by)
        self.seconds = [
            Second(view, place, column, names, order, d) for place, column in enumerate(by)
        ]
        self.feature_names = [d.quote(name) for name in features]
        self.attributes = [d.quote(a.name) for a in view.attributes]
        super().__init__(manifest, view)
        self.doors = Doors(manifest, view)
        self.clock = d.clock()
        self.clock_micros = d.clock_micros()
        self.recorded = d.from_micros("head.version")
        self.output = transformation.OUTPUT

    @property
    def delay(self) -> timedelta:
        return self._view.delay

    @cached_property
    def points_through(self) -> str:
        if endless(self._view):
            return self._d.instant(_NEVER)
        return self._d.plus(self.read_end, reach(self._view))

    @cached_property
    def changes_after(self) -> str:
        return self._d.plus(self.points_after, self._view.delay)

    @cached_property
    def changes_through(self) -> str:
        if endless(self._view):
            return self.points_through
        return self._d.plus(self.points_through, self._view.delay)

    @cached_property
    def rows(self) -> RowsSql:
        """The rows that the view's SQL returns."""
        return rows_sql(self._manifest, self._view, self._doors, self._literal)

    @cached_property
    def first_interval(self) -> str:
        """Where the first interval begins that a run evaluates: it may lie before what the run
        keeps."""
        return self.rows.first_interval(self.read_start)

    @cached_property
    def steps(self) -> Step:
        """One interval of a run, as text that a loop over the run's intervals fills."""
        return Step(*(self._d.instant(f"{{{{ step.{name} }}}}") for name in Step._fields))

    @cached_property
    def event_time(self) -> str:
        return self._d.utc(self._d.quote(self._view.timestamp)) if self._view.timestamp else ""

    @cached_property
    def staged(self) -> StagedRows:
        """What of the stage is looked at before anything is published."""
        return StagedRows(self._view, self._tiles, self.seconds, self._d)

    @cached_property
    def staged_columns(self) -> list[tuple[str, str]]:
        d, view = self._d, self._view
        event_time = self.event_time or self.read_start
        columns = [(d.quote(name), d.given(d.quote(name), kind)) for name, kind in view.keys]
        columns.append(("event_time", event_time))
        columns += [(d.quote(name), d.quote(column)) for column, name in self._ties.items()]
        columns += [(d.quote(a.name), d.given(d.quote(a.column), a.type)) for a in view.attributes]
        for tiles in (self._tiles, *(second.tiles for second in self.seconds)):
            columns += [(d.quote(s.name), self._literal(s.sql)) for s in tiles.staged.values()]
        columns += [(second.staged, d.given(second.source, second.type)) for second in self.seconds]
        if self.rows.outside:
            columns.append((OUTSIDE, self.rows.outside))
        if self._extent == Extent():
            columns += [
                (name, template.escape(sql))
                for name, sql in expectations.columns(view.expectations, d)
            ]
            return columns
        return self.staged.checked(columns)

    @cached_property
    def this_run(self) -> str:
        return (
            f"feature_view = {self.ledger_name} AND fingerprint = {self.fingerprint} AND run_id ="
            f" {self.run_id} AND interval_start = {self.interval_start} AND interval_end ="
            f" {self.interval_end}"
        )

    @cached_property
    def row_count(self) -> str:
        return self._d.cast("row_count", "int64")

    @cached_property
    def failed_count(self) -> str:
        return self._d.cast("failed_count", "int64")

    @cached_property
    def checked_sources(self) -> list[tuple[str, str]]:
        found = []
        for index, source in enumerate(self._sources):
            if source.expectations:
                named = [
                    (name, template.escape(sql))
                    for name, sql in expectations.columns(source.expectations, self._d)
                ]
                if source.timestamp is not None:
                    named.append(("event_time", self._d.utc(self._d.quote(source.timestamp))))
                listed = ", ".join(f"{sql} AS {name}" for name, sql in named) or "1 AS one"
                relation = self.rows.relation(source, self.read_start, self.read_end)
                found.append(
                    (f"source__{index}", f"SELECT {listed} FROM ({relation}) AS rows_read")
                )
        return found

    @cached_property
    def checks(self) -> list[str]:
        view = self._view
        found = expectations.results(
            view.expectations, self._rows(self.stage, None, view.timestamp is not None), self._d
        )
        for index, source in enumerate(self._sources):
            rows = self._rows(f"source__{index}", source.name, source.timestamp is not None)
            found += expectations.results(source.expectations, rows, self._d)
        return found

    def _rows(self, relation: str, source: str | None, timed: bool) -> expectations.Rows:
        interval = (
            self._d.floor("event_time", self._view.schedule, self._view.phase) if timed else ""
        )
        inside = f"event_time >= {self.interval_start} AND event_time < {self.interval_end}"
        return expectations.Rows(relation, source, interval, inside, "{{ plane.intervals }}")

    @cached_property
    def bad_key(self) -> str:
        return " OR ".join(f"{key} IS NULL" for key in self.keys)

    @cached_property
    def good(self) -> str:
        known = [f"{key} IS NOT NULL" for key in [*self.keys, "event_time"]]
        return " AND ".join([*known, *([f"NOT {OUTSIDE}"] if self.rows.outside else [])])

    @cached_property
    def out_of_bounds(self) -> str:
        """Whether a staged row's event time is beyond the declared bounds."""
        return OUTSIDE if self.rows.outside else "FALSE"

    @cached_property
    def key_columns(self) -> list[tuple[str, str]]:
        return [(self._d.quote(name), self._d.type(kind)) for name, kind in self._view.keys]

    @cached_property
    def feature_columns(self) -> list[tuple[str, str]]:
        return [
            (name, self._d.type(f.type))
            for name, f in zip(self.feature_names, self._view.features, strict=True)
        ]

    @cached_property
    def tile_columns(self) -> list[tuple[str, str]]:
        rows = [(a.name, a.type) for a in self._view.attributes]
        states = [(self._d.quote(s.name), s.type) for s in self._tiles.states.values()]
        states += [(second.column, second.column_type) for second in self.seconds]
        return [(self._d.quote(name), self._d.type(kind)) for name, kind in rows] + states

    @cached_property
    def tile_start(self) -> str:
        return self._d.floor("event_time", self._view.tile, self._view.phase)

    @cached_property
    def tile_end(self) -> str:
        return self._d.plus("a.tile_start", tile_length(self._view))

    @cached_property
    def order_columns(self) -> list[str]:
        return [self._d.quote(name) for name in self._ties.values()] + self.attributes

    @cached_property
    def states(self) -> list[tuple[str, str]]:
        return [(self._d.quote(s.name), s.sql) for s in self._tiles.states.values()]

    @cached_property
    def aggregated(self) -> bool:
        return bool(self._view.aggregates)

    @cached_property
    def state_names(self) -> list[str]:
        return [name for name, _ in self.states]

    @cached_property
    def framed(self) -> Windows:
        return self._tiles.windows(Frames(self._view, self.keys, self._d))

    @cached_property
    def paired(self) -> Windows:
        return self._tiles.windows(self.pairs)

    @cached_property
    def pairs(self) -> Pairs:
        return Pairs(self._view, self.keys, self._d)

    @cached_property
    def periods(self) -> list[Calendar]:
        return calendars(self._view)

    @property
    def period_joins(self) -> list[str]:
        places = range(len(self.periods))
        return [self._d.in_period(f"calendar_{n}", f"c{n}", "r.moment", outer=True) for n in places]

    def calendars(self, until: str) -> list[str]:
        """Each calendar's periods, from the oldest that matters to the one that holds `until`."""
        longest = depth(self._view) + self._view.schedule + timedelta(days=62)
        since = self._d.plus(self.points_after, -longest)
        return [
            calendar_sql(self._view, calendar, since, until, self._d) for calendar in self.periods
        ]

    @cached_property
    def rollups(self) -> rollups.Rollups | None:
        if not self._d.framed:
            return None
        table = qualified(
            self._d, self._manifest.schema, naming.rollups(self._view.name, self._view.fingerprint)
        )
        run = rollups.Run(self.interval_start, self.interval_end, self.read_start, self.read_end)
        covered = rollups.cover(self._view)
        return (
            rollups.Rollups(self._view, covered, self._tiles, table, run, self._d)
            if covered
            else None
        )

    @cached_property
    def history_values(self) -> list[tuple[str, str]]:
        names = [
            (self._d.quote(f.name), "w" if isinstance(f, AggregateSpec) else "a")
            for f in self._view.features
        ]
        found = {name: f"{table}.{name}" for name, table in names}
        types = dict(self.feature_columns)
        for second in self.seconds:
            for name in second.names:
                listed = f"coalesce({second.alias}.{name}, {self._d.empty_list()})"
                found[name] = f"CAST({listed} AS {types[name]})"
        return list(found.items())

    @cached_property
    def farthest_of_all(self) -> str:
        if endless(self._view):
            return self._d.instant(read_start(self._view))
        return self._d.plus(self.points_after, -depth(self._view))

    @cached_property
    def point_shifts(self) -> list[dict[str, str]]:
        view, d = self._view, self._d
        found = []
        if steps := shifts(view):  # all of them in one pass over the tiles
            values = ", ".join(f"({step // MICROSECOND})" for step in steps)
            join = f"CROSS JOIN (VALUES {values}) AS shifts(micros)"
            found.append(
                self._change(join, d.plus_micros("t.tile_start", "shifts.micros"), steps[-1])
            )
        for place, later, longest in turns(view):
            periods = (
                f"{d.in_period(f'calendar_{place}', 'own', 't.tile_start')} "
                f"JOIN calendar_{place} AS other ON other.number = own.number + {later}"
            )
            found.append(self._change(periods, "other.starts_at", longest))
        return found

    def _change(self, join: str, instant: str, longest: timedelta) -> dict[str, str]:
        """Where a tile's coming or going shows, and the oldest tiles of which that may be in what
        changes."""
        view, d = self._view, self._d
        moment = d.ceil(instant, view.schedule, view.phase)
        after = d.plus(self.points_after, -longest - view.schedule)
        if (earliest := read_start(view)) < view.start:
            # Tiles before the start are there for the first windows: they change nothing earlier,
            # however old.
            first = d.instant(view.start + view.schedule)
            moment = (
                f"CASE WHEN t.tile_start < {self.start} THEN greatest({moment}, {first}) ELSE"
                f" {moment} END"
            )
            oldest = d.instant(earliest - view.tile)
            after = f"CASE WHEN {self.points_after} > {self.start} THEN {after} ELSE {oldest} END"
        return {"moment": moment, "after": after, "join": join}

    @cached_property
    def effective(self) -> str:
        return self._d.plus("p.moment", self._view.delay)

    @cached_property
    def expires_at(self) -> str:
        if self._view.ttl is None:
            return f"CAST(NULL AS {self._d.type('timestamp')})"
        return self._d.plus("p.moment", self._view.delay + self._view.ttl)
