"""A feature view over given rows: what its features are at an instant, and why."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from controlplane.base.types import Interval, InvalidValue, format_instant, parse_instant, utc
from controlplane.compile import transformation
from controlplane.compile.loader import Definitions
from controlplane.compile.project import Target, compile_manifest
from controlplane.control import ledger
from controlplane.definitions import BatchFeatureView, BatchSource
from controlplane.errors import PlaneError, Problems
from controlplane.manifest.specs import AggregateSpec, Manifest, ViewSpec
from controlplane.manifest.timing import timing
from controlplane.manifest.windows import SlidingWindow
from controlplane.materialize.run import materialize, missing
from controlplane.release.program import build
from controlplane.sql.dialects import DUCKDB
from controlplane.sql.rows import rows_sql
from controlplane.sql.statements import read
from controlplane.sql.views import FILES, render_view
from controlplane.testing.tables import Row, Table, literal, table_of
from controlplane.workspace.connectors import open_warehouse

_CLOSE = 1e-9
_SHOWN_ROWS = 20


def given(
    view: BatchFeatureView,
    *upstream: BatchFeatureView,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    expectations: bool = False,
    schema: str = "features",
    **rows: Iterable[Row],
) -> Features:
    """A feature view over a handful of rows; use it in a `with` statement.

    Args:
        view: the one that is tested.
        upstream: feature views that it reads, to be computed as well; without them, give rows for
            their tables.
        columns: types of columns that their values can't tell: source -> column -> type.
        expectations: whether those of the view and of its sources are checked too; then rows that
            fail them raise `CheckFailed` when features are asked for.
        schema: where the project's feature views lie, which is how views that are read are told
            from raw tables.
        rows: for each source, by its name, dictionaries of column -> value. Types follow from the
            values (text in the column of the event time is a time).

    Raises:
        PlaneError: a source has no rows, a column's type can't be told, or the definition is wrong.
    """
    views = [view, *upstream]
    sources: dict[str, BatchSource] = {
        source.name: source for one in views for source in one.sources
    }
    computed = {f"{schema}.{one.name}" for one in views}
    tables = _tables(sources, computed, rows, columns or {})
    if not expectations:
        views = [dataclasses.replace(one, expectations=()) for one in views]
        sources = {name: _lenient(source) for name, source in sources.items()}
    return Features(views, list(sources.values()), tables, schema)


def _lenient(source: BatchSource) -> BatchSource:
    # A test gives the columns that the view needs, not all that the table has.
    lenient = copy.copy(source)
    object.__setattr__(lenient, "expectations", ())
    return lenient


def _tables(
    sources: Mapping[str, BatchSource],
    computed: set[str],
    rows: Mapping[str, Iterable[Row]],
    columns: Mapping[str, Mapping[str, str]],
) -> list[Table]:
    problems: list[PlaneError] = []
    found: dict[str, Table] = {}
    for name in sorted({*rows, *columns} - set(sources)):
        problems.append(
            PlaneError(f"there is no source {name!r}", hint=f"choose from: {', '.join(sources)}")
        )
    for name in rows:
        source = sources.get(name)
        if source is not None and source.table in computed:
            hint = "give the rows of its own sources, or leave the view out"
            problems.append(
                PlaneError(f"source {name!r} is a feature view that is computed", hint=hint)
            )
        elif source is not None and source.table in found:
            text = f"sources {found[source.table].source!r} and {name!r} are the same table"
            problems.append(PlaneError(text, hint="give its rows once"))
        elif source is not None:
            try:
                readers = [one for one in sources.values() if one.table == source.table]
                found[source.table] = table_of(
                    source, readers, list(rows[name]), columns.get(name, {})
                )
            except PlaneError as error:
                problems.append(error)
    for name, source in sources.items():
        if source.table not in computed and name not in rows and source.table not in found:
            text = f"source {name!r} has no rows"
            hint = (
                f"give {name}=[...]; if none, {name}=[] and columns={{{name!r}: {{...}}}} with"
                " their types"
            )
            problems.append(PlaneError(text, hint=hint))
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return list(found.values())


class Features:
    """Features over given rows. Made by `given`."""

    def __init__(
        self,
        views: Sequence[BatchFeatureView],
        sources: Sequence[BatchSource],
        tables: Sequence[Table],
        schema: str,
    ) -> None:
        self._warehouse = open_warehouse("duckdb", {"path": ":memory:"})
        self._covered: dict[str, list[Interval]] = {}
        try:
            for one in tables:
                self._warehouse.execute(one.statements())
            entities = {id(entity): entity for view in views for entity in view.entities}
            definitions = Definitions(
                entities=list(entities.values()), sources=list(sources), views=list(views)
            )
            target = Target(
                "test", "test", "duckdb", schema, None, Path(views[0].location.file).parent
            )
            self._manifest: Manifest = compile_manifest(definitions, target, self._warehouse)
            self._view: ViewSpec = self._manifest.view(views[0].name)
            self._sql: dict[str, dict[str, str]] = {}
            for view in self._manifest.views:
                rendered = render_view(self._manifest, view)
                self._sql[view.name] = {name: str(getattr(rendered, name)) for name in FILES}
                self._warehouse.execute(read(rendered.setup))
                self._warehouse.execute(read(rendered.doors), atomic=True)
        except BaseException:
            self._warehouse.close()
            raise

    def __enter__(self) -> Features:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._warehouse.close()

    def at(self, time: str | datetime, **keys: object) -> dict[str, Any]:
        """Every feature of one entity as it may be known at an instant: what training and serving
        would see.

        Args:
            time: the instant; without a zone it is UTC.
            keys: the entity's key columns.

        Raises:
            PlaneError: a key is missing or unknown.
            CheckFailed: an expectation is not met, where they are checked.
        """
        return self._values(_instant(time), self._key(keys))

    def rows(self, **keys: object) -> list[dict[str, Any]]:
        """What the view's SQL returns for one entity, in order of time.

        `visible_at` says since when it can be seen.
        """
        condition = self._condition(self._key(keys))
        timestamp = self._view.timestamp
        order = f" ORDER BY {DUCKDB.quote(timestamp)}" if timestamp else ""
        selected = f"SELECT * FROM {transformation.OUTPUT} WHERE {condition}{order}"
        found = [row for framed in self._framed() for row in self._fetch(f"{framed}\n{selected}")]
        for row in found:
            event = row[timestamp] if timestamp else None
            visible = timing(self._view).visible(event) if isinstance(event, datetime) else None
            row["visible_at"] = visible if timestamp else self._view.start
        return found

    def _framed(self) -> Iterator[str]:
        """Common tables with what the view's SQL returns: of an interval at a time where it has to
        be so."""
        sql = rows_sql(self._manifest, self._view)
        if not sql.by_interval:
            yield sql.whole()
            return
        [extent] = self._fetch(sql.extent())
        first, last = extent["first_start"], extent["last_end"]
        if not (isinstance(first, datetime) and isinstance(last, datetime)):
            return  # there are no rows
        for piece in Interval(first, last).split(
            last - first if sql.together else self._view.schedule
        ):
            start, end = DUCKDB.instant(piece.start), DUCKDB.instant(piece.end)
            yield sql.each_of(start, end) if sql.together else sql.one_range(start, end)

    def expect(self, rows: Iterable[Row]) -> None:
        """Compare features with what is expected, and tell all differences at once.

        Args:
            rows: dictionaries of the key columns, `at` (the instant), and those features that
                matter. Doubles are equal if they agree to nine digits.

        Raises:
            AssertionError: something differs; it shows each difference and the rows that it was
                made from.
            PlaneError: a row names no instant, or something that is no feature.
        """
        rows = list(rows)
        told = [text for row in rows if (text := self._difference(dict(row)))]
        if told:
            raise AssertionError(
                f"{len(told)} of {len(rows)} expected rows differ\n\n" + "\n\n".join(told)
            )

    def _difference(self, row: dict[str, object]) -> str:
        """How the features differ from an expected row; empty if they don't."""
        names = [name for name, _ in self._view.keys]
        at = row.pop("at", None)
        if not isinstance(at, str | datetime):
            raise PlaneError(
                f"an expected row has no instant: {row!r}", hint='give "at": "2013-01-01 02:00"'
            )
        key = self._key({name: row.pop(name) for name in names if name in row})
        instant = _instant(at)
        actual = self._values(instant, key)
        unknown = [name for name in row if name not in actual]
        if unknown:
            hint = f"choose from: {', '.join([*names, 'at', *actual])}"
            raise PlaneError(f"there is no feature {', '.join(map(repr, unknown))}", hint=hint)
        wrong = [name for name, expected in row.items() if not _same(actual[name], expected)]
        if not wrong:
            return ""
        width = max(map(len, wrong))
        said = [
            f"{' '.join(f'{name}={value}' for name, value in key.items())} at"
            f" {format_instant(instant)}"
        ]
        for name in wrong:
            window = self._window(name, instant)
            said.append(
                f"  {name:{width}}  expected {_shown(row[name])}, is {_shown(actual[name])}{window}"
            )
        return "\n".join([*said, *self._evidence(key, instant)])

    def _window(self, name: str, instant: datetime) -> str:
        feature = next(f for f in self._view.features if f.name == name)
        if not isinstance(feature, AggregateSpec) or not isinstance(feature.window, SlidingWindow):
            return ""
        end = timing(self._view).computed_through(instant) + feature.offset
        return f"  (window {Interval(end - feature.window.length, end)})"

    def _evidence(self, key: Mapping[str, object], instant: datetime) -> list[str]:
        rows = self.rows(**key)
        if not rows:
            return ["  the view's SQL returns no row of it"]
        lines = [["", *rows[0]]]
        for row in rows[:_SHOWN_ROWS]:
            visible = row["visible_at"]
            later = isinstance(visible, datetime) and visible > instant
            lines.append(["*" if later else "", *(_shown(value) for value in row.values())])
        widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
        text = [
            "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
            for line in lines
        ]
        more = [f"   ... and {len(rows) - _SHOWN_ROWS} more"] if len(rows) > _SHOWN_ROWS else []
        return ["  its rows (* not visible yet):", *(f"  {line.rstrip()}" for line in text), *more]

    def _key(self, keys: Mapping[str, object]) -> dict[str, object]:
        names = [name for name, _ in self._view.keys]
        if set(keys) != set(names):
            said = ", ".join(keys) or "none"
            hint = f"give {', '.join(f'{name}=...' for name in names)}"
            raise PlaneError(
                f"feature view {self._view.name!r} has the keys {', '.join(names)}, not {said}",
                hint=hint,
            )
        return {name: keys[name] for name in names}

    def _condition(self, key: Mapping[str, object]) -> str:
        return " AND ".join(
            f"{DUCKDB.quote(name)} = {literal(f'key {name!r}', key[name], kind)}"
            for name, kind in self._view.keys
        )

    def _values(self, instant: datetime, key: Mapping[str, object]) -> dict[str, Any]:
        self._compute(instant)
        moment = DUCKDB.instant(instant)
        found = self._fetch(
            f"SELECT * FROM {DUCKDB.quote(self._manifest.schema)}.{DUCKDB.quote(self._view.name)}"
            f" WHERE {self._condition(key)} AND valid_from <= {moment} AND (valid_to IS NULL OR"
            f" valid_to > {moment})"
        )
        fields = build(self._manifest, self._view).layout.fields
        return {f.name: found[0][f.name] if found else _python(f.default) for f in fields}

    def _compute(self, instant: datetime) -> None:
        """Compute every view through what is due at the instant."""
        for view in self._manifest.views:
            program = build(self._manifest, view)
            covered = self._covered.setdefault(view.name, [])
            for piece in missing(program, covered, instant):
                materialize(program, self._sql[view.name], self._warehouse, piece)
                covered.append(piece)

    def _fetch(self, sql: str) -> list[dict[str, object]]:
        return [
            {n: _python(v) for n, v in row.items()} for row in ledger.rows(self._warehouse, sql)
        ]


def _instant(time: str | datetime) -> datetime:
    if isinstance(time, datetime):
        return utc(time)
    try:
        return parse_instant(time)
    except InvalidValue as error:
        raise PlaneError(error.problem, hint=error.remedy) from None


def _python(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_python(item) for item in value]
    return utc(value) if isinstance(value, datetime) else value


def _same(actual: object, expected: object) -> bool:
    match actual, expected:
        case list(), list() | tuple():
            return len(actual) == len(expected) and all(map(_same, actual, expected))
        case float(), int() | float() if not isinstance(expected, bool):
            return math.isclose(actual, expected, rel_tol=_CLOSE) or (
                math.isnan(actual) and math.isnan(expected)
            )
        case datetime(), str() | datetime():
            return actual == _instant(expected)
        case date(), str():
            return actual.isoformat() == expected
        case _:
            return bool(actual == expected)


def _shown(value: object) -> str:
    return format_instant(value) if isinstance(value, datetime) else repr(value)
