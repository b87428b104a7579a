"""Compute the features of a feature view over the rows of a test."""

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

_CLOSE = 1e-9  # DuckDB adds doubles in any order, so the last digits may differ
_SHOWN_ROWS = 20


def given(
    view: BatchFeatureView,
    *upstream: BatchFeatureView,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    expectations: bool = False,
    schema: str = "features",
    **rows: Iterable[Row],
) -> Features:
    """Load rows for a feature view's sources; use the result in a `with` statement.

    Args:
        view: the feature view to test.
        upstream: feature views that `view` reads and that are computed from their own rows. For
            other feature views that it reads, pass the rows of their tables.
        columns: types of columns whose values don't show the type: source -> column -> type.
        expectations: also check the expectations of the views and their sources. Rows that don't
            meet them raise `CheckFailed` when features are read.
        schema: the schema of the project's feature views. A source in this schema is a feature
            view; all others are raw tables.
        rows: source name -> list of rows, each a dictionary of column -> value. The types of
            columns are inferred from the values; text in the column of the event time is a time.

    Raises:
        PlaneError: a source has no rows, a column's type is unknown, or a definition is wrong.

    Example::

        rows = [{"user_id": 1, "at": "2024-01-01 10:00", "amount": 5.0}]
        with given(purchases, orders=rows) as features:
            features.expect([{"user_id": 1, "at": "2024-01-02 01:00", "amount_sum_1d": 5.0}])
    """
    views = [view, *upstream]
    sources: dict[str, BatchSource] = {
        source.name: source for each in views for source in each.sources
    }
    computed = {f"{schema}.{each.name}" for each in views}
    tables = _tables(sources, computed, rows, columns or {})
    if not expectations:
        views = [dataclasses.replace(each, expectations=()) for each in views]
        sources = {name: _lenient(source) for name, source in sources.items()}
    return Features(views, list(sources.values()), tables, schema)


def _lenient(source: BatchSource) -> BatchSource:
    # The rows of a test have the columns that the view reads, not all columns of the table.
    # Not `dataclasses.replace`: it computes the location again, as a line of `dataclasses` itself.
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
    tables: dict[str, Table] = {}
    for name in sorted({*rows, *columns} - set(sources)):
        problems.append(
            PlaneError(f"there is no source {name!r}", hint=f"choose from: {', '.join(sources)}")
        )
    for name in rows:
        source = sources.get(name)
        if source is not None and source.table in computed:
            hint = "pass the rows of the view's own sources, or don't pass the view to given()"
            problems.append(
                PlaneError(f"source {name!r} is a feature view that is computed", hint=hint)
            )
        elif source is not None and source.table in tables:
            text = f"sources {tables[source.table].source!r} and {name!r} are the same table"
            problems.append(PlaneError(text, hint="pass the rows of only one of them"))
        elif source is not None:
            try:
                readers = [reader for reader in sources.values() if reader.table == source.table]
                tables[source.table] = table_of(
                    source, readers, list(rows[name]), columns.get(name, {})
                )
            except PlaneError as error:
                problems.append(error)
    for name, source in sources.items():
        if source.table not in computed and name not in rows and source.table not in tables:
            text = f"source {name!r} has no rows"
            hint = (
                f"pass {name}=[...]; for an empty table, pass {name}=[] and"
                f" columns={{{name!r}: {{...}}}} with the types of its columns"
            )
            problems.append(PlaneError(text, hint=hint))
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return list(tables.values())


class Features:
    """The features of a test's rows. Created by `given`."""

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
            for table in tables:
                self._warehouse.execute(table.statements())
            # By identity: an entity holds a dictionary of keys, so it is not hashable.
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
            # Without an object, nobody could close the DuckDB.
            self._warehouse.close()
            raise

    def __enter__(self) -> Features:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the DuckDB in memory."""
        self._warehouse.close()

    def at(self, time: str | datetime, **keys: object) -> dict[str, Any]:
        """Return all features of one entity as visible at an instant, in training and online.

        Args:
            time: the instant; UTC if it has no time zone.
            keys: the values of the entity's key columns.

        Raises:
            PlaneError: a key is missing or unknown.
            CheckFailed: an expectation is not met, if expectations are checked.
        """
        return self._values(_instant(time), self._key(keys))

    def rows(self, **keys: object) -> list[dict[str, Any]]:
        """Return the rows of one entity from the view's SQL, ordered by time.

        The column `visible_at` is the instant from which a row is visible.
        """
        condition = self._condition(self._key(keys))
        timestamp = self._view.timestamp
        order = f" ORDER BY {DUCKDB.quote(timestamp)}" if timestamp else ""
        selected = f"SELECT * FROM {transformation.OUTPUT} WHERE {condition}{order}"
        rows = [row for framed in self._framed() for row in self._fetch(f"{framed}\n{selected}")]
        for row in rows:
            event = row[timestamp] if timestamp else None
            visible = timing(self._view).visible(event) if isinstance(event, datetime) else None
            row["visible_at"] = visible if timestamp else self._view.start
        return rows

    def _framed(self) -> Iterator[str]:
        """Yield WITH clauses for the rows of the view's SQL: one, or one for each interval."""
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
        """Compare features with expected rows, and report all differences at once.

        Args:
            rows: dictionaries with the key columns, `at` (the instant), and the features to
                compare. Doubles are equal if their relative difference is at most 1e-9.

        Raises:
            AssertionError: features differ; the message shows each difference and the rows from
                which the feature was computed.
            PlaneError: a row has no `at`, or has a column that is no key and no feature.
        """
        rows = list(rows)
        differences = [text for row in rows if (text := self._difference(dict(row)))]
        if differences:
            raise AssertionError(
                f"{len(differences)} of {len(rows)} expected rows differ\n\n"
                + "\n\n".join(differences)
            )

    def _difference(self, row: dict[str, object]) -> str:
        """Describe how the features differ from an expected row; "" if they don't."""
        names = [name for name, _ in self._view.keys]
        at = row.pop("at", None)
        if not isinstance(at, str | datetime):
            raise PlaneError(
                f"an expected row has no time: {row!r}", hint='add "at": "2013-01-01 02:00"'
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
        lines = [
            f"{' '.join(f'{name}={value}' for name, value in key.items())} at"
            f" {format_instant(instant)}"
        ]
        for name in wrong:
            window = self._window(name, instant)
            lines.append(
                f"  {name:{width}}  expected {_shown(row[name])}, is {_shown(actual[name])}{window}"
            )
        return "\n".join([*lines, *self._evidence(key, instant)])

    def _window(self, name: str, instant: datetime) -> str:
        feature = next(f for f in self._view.features if f.name == name)
        if not isinstance(feature, AggregateSpec) or not isinstance(feature.window, SlidingWindow):
            return ""
        end = timing(self._view).computed_through(instant) + feature.offset
        return f"  (window {Interval(end - feature.window.length, end)})"

    def _evidence(self, key: Mapping[str, object], instant: datetime) -> list[str]:
        rows = self.rows(**key)
        if not rows:
            return ["  the view's SQL returns no rows of this entity"]
        lines = [["", *rows[0]]]
        for row in rows[:_SHOWN_ROWS]:
            visible = row["visible_at"]
            later = isinstance(visible, datetime) and visible > instant
            lines.append(["*" if later else "", *(_shown(value) for value in row.values())])
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        text = [
            "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
            for line in lines
        ]
        more = [f"   ... and {len(rows) - _SHOWN_ROWS} more"] if len(rows) > _SHOWN_ROWS else []
        return [
            "  rows of this entity (* not visible yet):",
            *(f"  {line.rstrip()}" for line in text),
            *more,
        ]

    def _key(self, keys: Mapping[str, object]) -> dict[str, object]:
        names = [name for name, _ in self._view.keys]
        if set(keys) != set(names):
            said = ", ".join(keys) or "none"
            hint = f"pass {', '.join(f'{name}=...' for name in names)}"
            raise PlaneError(
                f"feature view {self._view.name!r} has the keys {', '.join(names)}, not {said}",
                hint=hint,
            )
        return {name: keys[name] for name in names}

    def _condition(self, key: Mapping[str, object]) -> str:
        return " AND ".join(
            f"{DUCKDB.quote(name)} = {literal(f'key {name!r}', key[name], key_type)}"
            for name, key_type in self._view.keys
        )

    def _values(self, instant: datetime, key: Mapping[str, object]) -> dict[str, Any]:
        # Only the intervals that are due at the instant, like the runs at that time.
        self._compute(instant)
        moment = DUCKDB.instant(instant)
        rows = self._fetch(
            f"SELECT * FROM {DUCKDB.quote(self._manifest.schema)}.{DUCKDB.quote(self._view.name)}"
            f" WHERE {self._condition(key)} AND valid_from <= {moment} AND (valid_to IS NULL OR"
            f" valid_to > {moment})"
        )
        fields = build(self._manifest, self._view).layout.fields
        return {f.name: rows[0][f.name] if rows else _python(f.default) for f in fields}

    def _compute(self, instant: datetime) -> None:
        """Compute all intervals of all views that are due at the instant."""
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
        # A bool is an int in Python, but True is no double.
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
