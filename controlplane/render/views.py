"""The SQL of one feature view, filled from the templates in `dag_templates/sql`.

What a run decides stays open in the text, in Airflow's own delimiters: `plane.start`, `plane.end` (the interval),
`plane.read_start` (where its data begins), `plane.stage` (the stage's name) and `plane.run_id`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from controlplane import naming, template
from controlplane.registry import schedule, transformation
from controlplane.registry.manifest import AggregateSpec, Manifest, SourceSpec, ViewSpec
from controlplane.render.aggregates import TileSchema, shifts
from controlplane.render.dialects import Dialect, dialect

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


def render_view(manifest: Manifest, view: ViewSpec) -> ViewSql:
    """All SQL of one view. Equal manifests give equal bytes."""
    context = {"v": _Context(manifest, view)}
    return ViewSql(**{name: template.render(f"sql/{name}.sql.j2", context) for name in FILES})


def qualified(d: Dialect, schema: str, table: str) -> str:
    """`schema.table`, quoted."""
    return f"{d.quote(schema)}.{d.quote(table)}"


class _Context:
    """What the templates may ask for: every attribute is SQL text, or a list of names with SQL text."""

    def __init__(self, manifest: Manifest, view: ViewSpec) -> None:
        self._view = view
        self._d = d = dialect(manifest.dialect)
        self._sources = [manifest.source(name) for name in view.sources]
        keys = [name for name, _ in view.keys]
        features = [feature.name for feature in view.features]
        self._ties = {column: f"tie__{index}" for index, column in enumerate(view.tie_breaker)}
        taken = {*keys, *features, *self._ties.values(), "event_time", "tile_start"}
        order = ["event_time", *(d.quote(name) for name in self._ties.values())]
        self._tiles = TileSchema(view.aggregates, taken, order, d)
        self.keys = [d.quote(name) for name in keys]
        self.feature_names = [d.quote(name) for name in features]
        self.attributes = [d.quote(a.name) for a in view.attributes]
        for name in ("string", "timestamp", "int64", "bool"):
            setattr(self, name, d.type(name))
        self.schema = d.quote(manifest.schema)
        self.control = d.quote(naming.CONTROL_SCHEMA)
        self.ledger = f"{self.control}.{d.quote('ledger')}"
        self.doors_table = f"{self.control}.{d.quote('doors')}"
        self.ledger_name = d.text(f"{manifest.schema}.{view.name}")
        self.fingerprint = d.text(view.fingerprint)
        self.tiles = qualified(d, manifest.schema, naming.tiles(view.name, view.fingerprint))
        self.history = qualified(d, manifest.schema, naming.history(view.name, view.fingerprint))
        self.latest = qualified(d, manifest.schema, naming.latest(view.name, view.fingerprint))
        self.head = f"{self.control}.{d.quote(naming.head(manifest.schema, view.name, view.fingerprint))}"
        self.stage = f"{self.control}.{d.quote('{{ plane.stage }}')}"
        self.run_id = d.text("{{ plane.run_id }}")
        self.door = qualified(d, manifest.schema, naming.door(view.name))
        self.door_history = qualified(d, manifest.schema, naming.door(view.name, "history"))
        self.door_latest = qualified(d, manifest.schema, naming.door(view.name, "latest"))
        self.door_tiles = qualified(d, manifest.schema, naming.door(view.name, "tiles"))
        self.clock = d.clock()
        self.clock_micros = d.clock_micros()
        self.output = transformation.OUTPUT

    @cached_property
    def start(self) -> str:
        return self._d.instant(self._view.start)

    @cached_property
    def interval_start(self) -> str:
        return self._d.instant("{{ plane.start }}")

    @cached_property
    def interval_end(self) -> str:
        return self._d.instant("{{ plane.end }}")

    # A static view's rows lie in the one tile before its start, so that they take effect at its start.

    @cached_property
    def read_start(self) -> str:
        view = self._view
        return self._d.instant(view.start - view.schedule if view.static else "{{ plane.read_start }}")

    @cached_property
    def read_end(self) -> str:
        return self.start if self._view.static else self.interval_end

    @cached_property
    def points_after(self) -> str:
        return self.read_start if self._view.static else self.interval_start

    @cached_property
    def points_through(self) -> str:
        return self._d.plus(self.read_end, schedule.reach(self._view))

    @cached_property
    def changes_after(self) -> str:
        return self._d.plus(self.points_after, self._view.delay)

    @cached_property
    def changes_through(self) -> str:
        return self._d.plus(self.points_through, self._view.delay)

    @cached_property
    def transformation(self) -> str:
        relations = {source.name: self._relation(source) for source in self._sources}
        return transformation.framed(template.escape(self._view.sql), relations)

    def _relation(self, source: SourceSpec) -> str:
        select = f"SELECT * FROM {source.table}"
        if source.timestamp is None:
            return select
        ts = self._d.quote(source.timestamp)
        return f"{select} WHERE {ts} >= {self.read_start} AND {ts} < {self.read_end}"

    @cached_property
    def event_time(self) -> str:
        return self._d.utc(self._d.quote(self._view.timestamp)) if self._view.timestamp else ""

    @cached_property
    def staged_columns(self) -> list[tuple[str, str]]:
        d, view = self._d, self._view
        event_time = self.event_time or self.read_start
        columns = [(d.quote(name), d.cast(d.quote(name), kind)) for name, kind in view.keys]
        columns.append(("event_time", event_time))
        columns += [(d.quote(name), d.quote(column)) for column, name in self._ties.items()]
        columns += [(d.quote(a.name), d.cast(d.quote(a.column), a.type)) for a in view.attributes]
        columns += [(d.quote(s.name), template.escape(s.sql)) for s in self._tiles.staged.values()]
        return columns

    @cached_property
    def bad_key(self) -> str:
        return " OR ".join(f"{key} IS NULL" for key in self.keys)

    @cached_property
    def good(self) -> str:
        return " AND ".join(f"{key} IS NOT NULL" for key in [*self.keys, "event_time"])

    @cached_property
    def key_columns(self) -> list[tuple[str, str]]:
        return [(self._d.quote(name), self._d.type(kind)) for name, kind in self._view.keys]

    @cached_property
    def feature_columns(self) -> list[tuple[str, str]]:
        return [(self._d.quote(f.name), self._d.type(f.type)) for f in self._view.features]

    @cached_property
    def tile_columns(self) -> list[tuple[str, str]]:
        rows = [(a.name, a.type) for a in self._view.attributes]
        states = [(self._d.quote(s.name), s.type) for s in self._tiles.states.values()]
        return [(self._d.quote(name), self._d.type(kind)) for name, kind in rows] + states

    @cached_property
    def tile_start(self) -> str:
        return self._d.floor("event_time", self._view.tile)

    @cached_property
    def tile_end(self) -> str:
        return self._d.plus("a.tile_start", self._view.schedule if self._view.static else self._view.tile)

    @cached_property
    def order_columns(self) -> list[str]:
        return [self._d.quote(name) for name in self._ties.values()] + self.attributes

    @cached_property
    def states(self) -> list[tuple[str, str]]:
        return [(self._d.quote(s.name), s.sql) for s in self._tiles.states.values()]

    @cached_property
    def state_names(self) -> list[str]:
        return [name for name, _ in self.states]

    @cached_property
    def merged(self) -> list[tuple[str, str]]:
        self.window_values  # noqa: B018 - says what must be merged
        return [(name, sql) for sql, name in self._tiles.merged.items()]

    @cached_property
    def window_values(self) -> list[tuple[str, str]]:
        return [(self._d.quote(a.name), self._tiles.value(a, "t", "p.moment")) for a in self._view.aggregates]

    @cached_property
    def history_values(self) -> list[tuple[str, str]]:
        names = [(self._d.quote(f.name), "w" if isinstance(f, AggregateSpec) else "a") for f in self._view.features]
        return [(name, f"{table}.{name}") for name, table in names]

    @cached_property
    def farthest(self) -> str:
        return self._d.plus("p.moment", -schedule.depth(self._view))

    @cached_property
    def farthest_of_all(self) -> str:
        return self._d.plus(self.points_after, -schedule.depth(self._view))

    @cached_property
    def point_shifts(self) -> list[dict[str, str]]:
        view, d = self._view, self._d
        tile = view.schedule if view.static else view.tile
        first = view.start + view.schedule
        found = []
        for shift in shifts(view.aggregates, tile, bool(view.attributes)):
            moment = d.ceil(d.plus("tile_start", shift), view.schedule)
            after = d.plus(self.points_after, -shift - view.schedule)
            if schedule.read_start(view) < view.start:
                # Tiles before the start are there for the first windows: they change nothing earlier, however old.
                moment = (
                    f"CASE WHEN tile_start < {self.start} THEN greatest({moment}, {d.instant(first)}) ELSE {moment} END"
                )
                oldest = d.instant(schedule.read_start(view) - view.tile)
                after = f"CASE WHEN {self.points_after} > {self.start} THEN {after} ELSE {oldest} END"
            found.append({"moment": moment, "after": after})
        return found

    @cached_property
    def effective(self) -> str:
        return self._d.plus("p.moment", self._view.delay)

    @cached_property
    def expires_at(self) -> str:
        if self._view.ttl is None:
            return f"CAST(NULL AS {self._d.type('timestamp')})"
        return self._d.plus("p.moment", self._view.delay + self._view.ttl)

    @cached_property
    def attribute_tiles(self) -> str:
        """Row features count from the view's start on, though its windows may read earlier tiles."""
        if schedule.read_start(self._view) >= self._view.start:
            return self.tiles
        return f"(SELECT * FROM {self.tiles} WHERE tile_start >= {self.start})"

    @cached_property
    def comments(self) -> list[tuple[str, str]]:
        view, d = self._view, self._d
        text = f"{view.description or view.name} | owner: {view.owner} | defined at {view.place.file}:{view.place.line}"
        return [(self.door, d.text(text))]
