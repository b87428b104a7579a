"""The engine without Airflow: raw rows into DuckDB, a definition compiled and rendered, intervals
run, tables read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from connectors.duckdb.warehouse import connect
from controlplane.base.ports import Warehouse
from controlplane.base.types import Interval
from controlplane.compile.loader import Definitions
from controlplane.compile.project import Target, compile_manifest
from controlplane.control import ledger
from controlplane.definitions import (
    BatchFeatureView,
    BatchSource,
    Calculation,
    Entity,
    FeatureService,
    RealtimeFeature,
    RequestSource,
)
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import IntervalByInterval, Manifest, ViewSpec
from controlplane.materialize.run import Materialized, materialize
from controlplane.release import program as programs
from controlplane.release.program import Program
from controlplane.sql.dialects import DUCKDB, dialect
from controlplane.sql.statements import split
from controlplane.sql.views import FILES, render_view
from controlplane.training import datasets
from tests.engine import engines

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - DuckDB gives naive timestamps in UTC
NOW = datetime(2030, 1, 1, tzinfo=UTC)

SUBJECT = BatchSource("events", table="raw.events", timestamp="ts")


def micros(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 text in UTC."""
    return (datetime.fromisoformat(text).replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)


def naive(instant: int) -> datetime:
    """The instant as DuckDB gives and takes it."""
    return EPOCH + timedelta(microseconds=instant)


def interval(start: int, end: int) -> Interval:
    """The interval between two instants in microseconds."""
    return Interval(naive(start).replace(tzinfo=UTC), naive(end).replace(tzinfo=UTC))


def compiled(
    views: Sequence[BatchFeatureView],
    warehouse: Warehouse,
    calculations: Sequence[Calculation | RealtimeFeature] = (),
    request: RequestSource | None = None,
) -> Manifest:
    """The manifest of some views, of the entities and sources that they name, and of a service
    `all` of them."""
    service = FeatureService("all", features=[*views, *calculations], request=request, owner="team")
    definitions = Definitions(views=list(views), services=[service])
    for view in views:
        definitions.entities += [e for e in view.entities if not known(e, definitions.entities)]
        definitions.sources += [s for s in view.sources if not known(s, definitions.sources)]
    target = Target("shop", "test", warehouse.dialect, "features", None, Path("/"))
    return compile_manifest(definitions, target, warehouse)


def known(thing: Entity | BatchSource, among: Iterable[Entity | BatchSource]) -> bool:
    """Whether the very object is there."""
    return any(thing is one for one in among)


class Rig:
    """One warehouse with one feature view over `raw.events`."""

    def __init__(
        self,
        view: BatchFeatureView,
        columns: Mapping[str, str],
        *,
        path: str = ":memory:",
        rows: Sequence[Mapping[str, Any]] = (),
        warehouse: Warehouse | None = None,
        calculations: Sequence[Calculation | RealtimeFeature] = (),
        request: RequestSource | None = None,
    ) -> None:
        self.warehouse: Warehouse = warehouse or connect(path=path)
        self.d = dialect(self.warehouse.dialect)
        self.columns = columns
        self.run("CREATE SCHEMA IF NOT EXISTS raw")
        if self.warehouse.columns(["raw.events"])["raw.events"] is None:
            engines.make(self.warehouse, "raw.events", columns)
        self.add(rows)
        self.manifest = compiled([view], self.warehouse, calculations, request)
        self.view: ViewSpec = self.manifest.views[0]
        self.use(self.manifest)
        self.warehouse.execute(split(self.sql["setup"]))
        self.warehouse.execute(split(self.sql["doors"]), atomic=True)

    def use(self, manifest: Manifest) -> None:
        """Render the manifest's one view; what it says must survive the way through JSON."""
        read_back = manifests.from_json(manifests.to_json(manifest))
        rendered = render_view(read_back, read_back.views[0])
        self.sql = {name: str(getattr(rendered, name)) for name in FILES}
        built = programs.build(read_back, read_back.views[0])
        self.program: Program = programs.from_json(programs.to_json(built))

    def take_apart(self) -> None:
        """Give each interval a statement of its own, as where the order of rows may decide
        something."""
        assert isinstance(self.view.evaluation, IntervalByInterval)
        evaluation = msgspec.structs.replace(self.view.evaluation, steady=False)
        self.view = msgspec.structs.replace(self.view, evaluation=evaluation)
        self.manifest = msgspec.structs.replace(self.manifest, views=(self.view,))
        self.use(self.manifest)

    def close(self) -> None:
        """Close the warehouse."""
        self.warehouse.close()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, *sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run statements as a user would, beside the product; the last one's rows."""
        return engines.run(self.warehouse, *sql, parameters=parameters)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows to the raw table."""
        engines.insert(self.warehouse, "raw.events", self.columns, rows)

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make these the raw table's rows."""
        self.run("DELETE FROM raw.events")
        self.add(rows)

    def materialize(
        self, start: int, end: int, on_step: Callable[[str], None] = lambda _: None
    ) -> Materialized:
        """Compute the intervals from `start` to `end` (microseconds)."""
        return materialize(
            self.program, self.sql, self.warehouse, interval(start, end), on_step=on_step
        )

    def head(self) -> ledger.Head:
        """The view's head."""
        return ledger.head(self.warehouse, self.program.head)

    def table(self, part: str = "") -> list[dict[str, Any]]:
        """The rows of the view's own table, or of another of its tables.

        Of `latest` and `rollups` the physical one.
        """
        name = f"subject__{part}" if part else "subject"
        if part in ("latest", "rollups"):
            name = f"subject__{part}__{self.view.fingerprint}"
        order = " ORDER BY ALL" if self.d.name == "duckdb" else ""
        return records(self.warehouse, f"SELECT * FROM features.{self.d.quote(name)}{order}")

    def training_set(
        self,
        spine: Sequence[tuple[Sequence[Any], int]],
        *,
        as_of: str = "scheduled",
        allow_gaps: bool = False,
        from_source: bool = False,
        request: Sequence[Mapping[str, Any]] = (),
    ) -> list[dict[str, Any]]:
        """The features at each key and instant of the spine, with its request, in its order, as a
        training set gives them."""
        keys = [name for name, _ in self.view.keys]
        columns = {
            "number": "INTEGER",
            "asked": "TIMESTAMP",
            **{name: self.columns[name] for name in keys},
        }
        columns |= {one.name: DUCKDB.type(one.type) for one in self.manifest.services[0].request}
        engines.make(self.warehouse, "raw.spine", columns)
        rows = [
            {
                "number": number,
                "asked": naive(at),
                **dict(zip(keys, key, strict=True)),
                **dict(*request[number : number + 1]),
            }
            for number, (key, at) in enumerate(spine)
        ]
        engines.insert(self.warehouse, "raw.spine", columns, rows)
        made = datasets.create(
            self.manifest,
            self.warehouse,
            name="looks",
            service="all",
            spine="raw.spine",
            time="asked",
            created_by="us",
            as_of=as_of,
            allow_gaps=allow_gaps,
            from_source=from_source,
        )
        found = records(self.warehouse, f"SELECT * FROM {made.table}")
        if self.d.name != "duckdb":  # a table has no order there
            found.sort(key=itemgetter("number"))
        assert [row["number"] for row in found] == list(range(len(spine)))
        return [
            {name.removeprefix("subject__"): value for name, value in row.items()} for row in found
        ]


def records(warehouse: Warehouse, sql: str) -> list[dict[str, Any]]:
    """A query's rows as dictionaries; timestamps become microseconds."""
    rows = [row for batch in warehouse.fetch(sql) for row in pa.RecordBatch.to_pylist(batch)]
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def plain(value: Any) -> Any:
    """Timestamps as microseconds since the epoch, everything else as it is."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return (value.replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)
    return value


class Reader:
    """Point-in-time reads of a table of the warehouse, held in memory."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], until: str) -> None:
        self._until = until
        self._by_key: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in rows:
            self._by_key.setdefault(tuple(row[k] for k in keys), []).append(row)

    def at(self, key: Sequence[Any], instant: int) -> Mapping[str, Any] | None:
        """The row in force: the newest with `valid_from <= instant`, unless `until` has come."""
        begun = [row for row in self._by_key.get(tuple(key), ()) if row["valid_from"] <= instant]
        if not begun:
            return None
        newest = max(begun, key=lambda row: row["valid_from"])
        return (
            None if newest[self._until] is not None and instant >= newest[self._until] else newest
        )
