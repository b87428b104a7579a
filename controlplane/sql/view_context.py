"""The values of one feature view that the templates use: SQL texts, and lists of columns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property

from controlplane.base import template
from controlplane.compile import transformation
from controlplane.manifest.specs import AggregateSpec, BatchViewSpec, Manifest, ViewSpec
from controlplane.manifest.timing import depth
from controlplane.sql import data_tables, expectations, rollups
from controlplane.sql.aggregates import Names, TileSchema, Windows
from controlplane.sql.change_points import ChangePoints, change_points
from controlplane.sql.dialects import dialect
from controlplane.sql.extents import Extent, Times
from controlplane.sql.public_views import PublicViews
from controlplane.sql.ranges import Owner
from controlplane.sql.rows import OUTSIDE, RowsSql, Step, rows_sql
from controlplane.sql.secondary_keys import SecondaryKey
from controlplane.sql.staged_rows import StagedRows
from controlplane.sql.tables import Tables
from controlplane.sql.windows import Calendar, Frames, Pairs, calendar_sql, calendars

Column = tuple[str, str]
"""A column of a query, or a common table: its quoted name, and the SQL that makes it."""
TypedColumn = tuple[str, str]
"""A column of a table: its quoted name, and its type in the warehouse's SQL."""


class ViewContext(Tables, Times):
    """The values of one view that the templates use; see also `Tables` and `Times`.

    Expensive values are computed when a template first uses them.

    Attributes:
        d: The dialect, for its capabilities and forms.
        keys: The quoted names of the keys.
        attributes: The quoted names of row features.
        feature_names: The quoted names of all features, in their order.
        secondary_keys: The secondary keys by which aggregates are listed.
        public_views: The comments of the public views, and the grants on them.
        clock: The warehouse's clock as a timestamp.
        clock_micros: The warehouse's clock in microseconds since the epoch.
        recorded: The publication time of a row `head`.
        output: The common table with the rows that the user's SQL returns.
    """

    def __init__(
        self, manifest: Manifest, view: ViewSpec, extent: Extent, relations: Mapping[str, str]
    ) -> None:
        """Prepare the context of a view.

        Args:
            manifest: The project.
            view: One of its views.
            extent: The range to compute; the default extent renders a release.
            relations: The relations that replace tables: name -> SQL.
        """
        d = dialect(manifest.dialect)
        Tables.__init__(self, manifest, view)
        Times.__init__(self, view, extent, d)
        self.d = d
        self._manifest = manifest
        self._relations = relations
        # A run renders a release a second time: there the user's braces must be escaped.
        self._is_open = extent == Extent()
        self._literal = template.escape if self._is_open else str
        self._sources = [manifest.source(name) for name in view.sources]
        keys = [name for name, _ in view.keys]
        features = [feature.name for feature in view.features]
        self._ties = {column: f"tie__{index}" for index, column in enumerate(view.tie_breaker)}
        # Staged columns and states get names that no key or feature has, whatever users call them.
        names = Names({*keys, *features, *self._ties.values(), "event_time", "tile_start"})
        order = ["event_time", *(d.quote(name) for name in self._ties.values())]
        owner = Owner(f"feature view '{view.name}'", view.keys)
        self._tiles = TileSchema([a for a in view.aggregates if not a.by], names, order, d, owner)
        by = dict.fromkeys(a.by for a in view.aggregates if a.by)
        self.secondary_keys = [
            SecondaryKey(view, index, column, names, order, d) for index, column in enumerate(by)
        ]
        self.keys = [d.quote(name) for name in keys]
        self.attributes = [d.quote(a.name) for a in view.attributes]
        self.feature_names = [d.quote(name) for name in features]
        self.public_views = PublicViews(manifest, view)
        self.clock = d.clock()
        self.clock_micros = d.clock_micros()
        self.recorded = d.from_micros("head.version")
        self.output = transformation.OUTPUT

    def render(self, name: str) -> str:
        """Fill the template of one of `views.FILES`."""
        merges = name == "publish" and not self.d.replaces_history
        return template.render(f"sql/{'merge' if merges else name}.sql.j2", {"v": self})

    @cached_property
    def rows(self) -> RowsSql:
        """The rows that the view's SQL returns."""
        return rows_sql(self._manifest, self._view, self._relations, self._literal)

    @property
    def has_next(self) -> bool:
        """Whether a run of the next interval has statements of its own: it replaces nothing.

        A run of a static view replaces all rows, and one with lateness those of the intervals
        before its own.
        """
        return isinstance(self._view, BatchViewSpec) and not self._view.lateness

    @cached_property
    def first_interval(self) -> str:
        """The start of a run's first interval, which may be before the first row that it keeps."""
        return self.rows.first_interval(self.read_start)

    @cached_property
    def steps(self) -> Step:
        """One interval of a run, as text that a loop over the run's intervals fills."""
        return Step(*(self._d.instant(f"{{{{ step.{name} }}}}") for name in Step._fields))

    @cached_property
    def event_time(self) -> str:
        """The event time of a row of the user's SQL; empty for a static view."""
        return self._d.utc(self._d.quote(self._view.timestamp)) if self._view.timestamp else ""

    @cached_property
    def staged(self) -> StagedRows:
        """The checks of the stage's values before a run publishes them."""
        return StagedRows(self._view, self._tiles, self.secondary_keys, self._d)

    @cached_property
    def staged_columns(self) -> list[Column]:
        """The columns of the stage, over the rows of the user's SQL."""
        d, view = self._d, self._view
        event_time = self.event_time or self.read_start
        columns = [
            (d.quote(name), d.from_user(d.quote(name), key_type)) for name, key_type in view.keys
        ]
        columns.append(("event_time", event_time))
        columns += [(d.quote(name), d.quote(column)) for column, name in self._ties.items()]
        columns += [
            (d.quote(a.name), d.from_user(d.quote(a.column), a.type)) for a in view.attributes
        ]
        for tiles in (self._tiles, *(key.tiles for key in self.secondary_keys)):
            columns += [(d.quote(s.name), self._literal(s.sql)) for s in tiles.staged.values()]
        columns += [(key.staged, d.from_user(key.source, key.type)) for key in self.secondary_keys]
        if self.rows.outside:
            columns.append((OUTSIDE, self.rows.outside))
        if self._is_open:
            columns += [
                (name, template.escape(sql))
                for name, sql in expectations.columns(view.expectations, d)
            ]
            return columns
        return self.staged.checked(columns)

    @cached_property
    def this_run(self) -> str:
        """The condition that a row of the control schema is of this run."""
        return (
            f"feature_view = {self.ledger_name} AND fingerprint = {self.fingerprint}"
            f" AND run_id = {self.run_id}"
            f" AND interval_start = {self.interval_start} AND interval_end = {self.interval_end}"
        )

    @cached_property
    def checked_sources(self) -> list[Column]:
        """The sources with expectations, each with its rows as a query."""
        relations = []
        for index, source in enumerate(self._sources):
            if source.expectations:
                named = [
                    (name, template.escape(sql))
                    for name, sql in expectations.columns(source.expectations, self._d)
                ]
                if source.timestamp is not None:
                    named.append(("event_time", self._d.utc(self._d.quote(source.timestamp))))
                # An expectation of the number of rows needs no column, but a SELECT needs one.
                listed = ", ".join(f"{sql} AS {name}" for name, sql in named) or "1 AS one"
                rows = self.rows.relation(source, self.read_start, self.read_end)
                relations.append(
                    (f"source__{index}", f"SELECT {listed} FROM ({rows}) AS rows_read")
                )
        return relations

    @cached_property
    def checks(self) -> list[str]:
        """A query for the results of each expectation."""
        view = self._view
        queries = expectations.results(
            view.expectations, self._rows(self.stage, None, view.timestamp is not None), self._d
        )
        for index, source in enumerate(self._sources):
            rows = self._rows(f"source__{index}", source.name, source.timestamp is not None)
            queries += expectations.results(source.expectations, rows, self._d)
        return queries

    def _rows(self, relation: str, source: str | None, timed: bool) -> expectations.Rows:
        interval = (
            self._d.floor("event_time", self._view.schedule, self._view.phase) if timed else ""
        )
        inside = f"event_time >= {self.interval_start} AND event_time < {self.interval_end}"
        return expectations.Rows(relation, source, interval, inside, "{{ plane.intervals }}")

    @cached_property
    def bad_key(self) -> str:
        """Whether a part of a staged row's key is null."""
        return " OR ".join(f"{key} IS NULL" for key in self.keys)

    @cached_property
    def good(self) -> str:
        """Whether a staged row is used: it has a key and an event time within the bounds."""
        known = [f"{key} IS NOT NULL" for key in [*self.keys, "event_time"]]
        return " AND ".join([*known, *([f"NOT {OUTSIDE}"] if self.rows.outside else [])])

    @cached_property
    def out_of_bounds(self) -> str:
        """Whether a staged row's event time is beyond the declared bounds."""
        return OUTSIDE if self.rows.outside else "FALSE"

    @cached_property
    def key_columns(self) -> list[TypedColumn]:
        """The keys."""
        d = self._d
        return [(d.quote(name), d.type(key_type)) for name, key_type in self._view.keys]

    @cached_property
    def feature_columns(self) -> list[TypedColumn]:
        """The features."""
        return [
            (name, self._d.type(f.type))
            for name, f in zip(self.feature_names, self._view.features, strict=True)
        ]

    @cached_property
    def tile_columns(self) -> list[TypedColumn]:
        """The columns of the tiles after the keys and the tile's start."""
        rows = [(a.name, a.type) for a in self._view.attributes]
        states = [(self._d.quote(s.name), s.type) for s in self._tiles.states.values()]
        states += [(key.column, key.column_type) for key in self.secondary_keys]
        return [(self._d.quote(name), self._d.type(row_type)) for name, row_type in rows] + states

    @cached_property
    def change_columns(self) -> list[data_tables.Column]:
        """The columns of the table in which a run collects changes of the history."""
        return data_tables.change_columns(self._manifest, self.key_columns, self.feature_columns)

    @cached_property
    def data_tables(self) -> list[data_tables.DataTable]:
        """The tables of this version of the view, except for its head."""
        return data_tables.data_tables(
            self._manifest,
            self._view,
            self.key_columns,
            self.feature_columns,
            self.tile_columns,
            self.rollups.columns if self.rollups else None,
        )

    @cached_property
    def order_columns(self) -> list[str]:
        """The columns of the stage that decide which of a tile's rows is the last."""
        return [self._d.quote(name) for name in self._ties.values()] + self.attributes

    @cached_property
    def states(self) -> list[Column]:
        """The states of a tile, over the rows of the stage."""
        return [(self._d.quote(s.name), s.sql) for s in self._tiles.states.values()]

    @cached_property
    def aggregated(self) -> bool:
        """Whether the view has any window."""
        return bool(self._view.aggregates)

    @cached_property
    def state_names(self) -> list[str]:
        """The quoted names of the states."""
        return [name for name, _ in self.states]

    @cached_property
    def framed(self) -> Windows:
        """The windows as frames over a key's timeline."""
        return self._tiles.windows(Frames(self._view, self.keys, self._d))

    @cached_property
    def paired(self) -> Windows:
        """The windows as aggregates over the tiles that are joined with a moment."""
        return self._tiles.windows(self.pairs)

    @cached_property
    def pairs(self) -> Pairs:
        """The conditions that join moments with tiles."""
        return Pairs(self._view, self.keys, self._d)

    @cached_property
    def periods(self) -> list[Calendar]:
        """The calendars that the view's windows follow."""
        return calendars(self._view)

    @property
    def period_joins(self) -> list[str]:
        """The joins of a row `r` with the period of each calendar that holds it."""
        numbers = range(len(self.periods))
        return [
            self._d.in_period(f"calendar_{n}", f"c{n}", "r.moment", outer=True) for n in numbers
        ]

    def calendars(self, until: str) -> list[str]:
        """Render a query for each calendar's periods, up to the one that holds `until`."""
        # 62 days are two months: the period that holds the oldest tile must be complete, whatever
        # its unit and zone.
        longest = depth(self._view) + self._view.schedule + timedelta(days=62)
        since = self._d.plus(self.points_after, -longest)
        return [
            calendar_sql(self._view, calendar, since, until, self._d) for calendar in self.periods
        ]

    @cached_property
    def rollups(self) -> rollups.Rollups | None:
        """The rollups; None where the view keeps none."""
        covered = rollups.cover(self._view) if self._d.rollups else None
        if covered is None:
            return None
        run = rollups.Run(self.interval_start, self.interval_end, self.read_start, self.read_end)
        return rollups.Rollups(self._view, covered, self._tiles, self.rolled_up, run, self._d)

    @cached_property
    def history_values(self) -> list[Column]:
        """Each feature at a point, over the relations that the macro `values_from` joins."""
        names = [
            (self._d.quote(f.name), "w" if isinstance(f, AggregateSpec) else "a")
            for f in self._view.features
        ]
        values = {name: f"{table}.{name}" for name, table in names}
        types = dict(self.feature_columns)
        for key in self.secondary_keys:
            for name in key.names:
                listed = f"coalesce({key.alias}.{name}, {self._d.empty_list()})"
                values[name] = f"CAST({listed} AS {types[name]})"
        return list(values.items())

    @cached_property
    def point_shifts(self) -> list[ChangePoints]:
        """The moments at which a tile may change values."""
        return change_points(self._view, self, self._d)
