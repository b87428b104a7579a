"""Compares calculations and realtime features of readers with those of the warehouse.

Both compute the same random rows. The rows contain nulls, NaN, infinities, the limits of types and
texts in any script.
"""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from controlplane.base.ports import Calculator, Function, Warehouse
from controlplane.base.types import (
    decimal_precision,
    decimal_scale,
    is_decimal,
    is_list,
    item_type,
    micros,
)
from controlplane.control import ledger
from controlplane.errors import PermanentError
from controlplane.manifest.specs import Manifest, ServiceSpec
from controlplane.sql.calculations import (
    added,
    feature_types,
    functions,
    in_memory,
    owner_of,
    request_types,
)
from controlplane.sql.dialects import DUCKDB, Dialect, dialect
from controlplane.verify.oracle import same
from controlplane.verify.report import ServiceMismatch, ServiceReport
from controlplane.verify.values import plain

T = TypeVar("T")
Row = Mapping[str, Any]
Open = Callable[[str, Sequence[Function]], Calculator]
"""Prepares a query and the functions that it calls; see `Calculator`."""
CHUNK = 100
"""Rows in one query."""
KEPT = 20
"""The differences of a service that are reported; the others are counted."""
TRIED = 3
"""The rows that fail in this process and are then tried in the warehouse."""
_CLOSE = 1e-9  # relative; see `_agree`
_NUMBER = "plane_row"


def compare_service(
    manifest: Manifest,
    service: ServiceSpec,
    warehouse: Warehouse,
    open_calculator: Open,
    *,
    cases: int,
    seed: int,
) -> ServiceReport:
    """Compute a service's calculations for random rows in this process and in the warehouse.

    A row that fails in this process must fail in the warehouse too. Some of these rows are tried.

    Args:
        manifest: the deployed manifest.
        service: the feature service.
        warehouse: computes as training sets do; its functions are created again.
        open_calculator: prepares the computation of a reader.
        cases: the number of rows.
        seed: the seed of the random rows.

    Raises:
        PlaneError: the warehouse refuses.
    """
    report = ServiceReport(service.name)
    d = dialect(manifest.dialect)
    exact = d.name == DUCKDB.name
    types = request_types(service) | feature_types(manifest, service)
    inputs, query, made = in_memory(manifest, service)
    may_lack = dict.fromkeys(types, True) | {f.name: f.nullable for f in service.request}
    choice = random.Random(f"{seed} {service.name}")  # noqa: S311 - a seed gives the same rows
    rows = [
        {name: _value(types[name], choice, may_lack[name]) for name in inputs} for _ in range(cases)
    ]
    warehouse.execute(functions(d, manifest, service))
    calculator = open_calculator(query, made)

    def in_process(chunk: Sequence[Row]) -> Sequence[Sequence[Any]]:
        # Without inputs there is still one list, whose length is the number of rows.
        return calculator.compute(
            [[row[name] for row in chunk] for name in inputs] or [[True] * len(chunk)]
        )

    def in_warehouse(chunk: Sequence[Row]) -> Sequence[Row]:
        return _in_training(manifest, service, warehouse, types, chunk)

    try:
        for start in range(0, cases, CHUNK):
            chunk = rows[start : start + CHUNK]
            read = _each(chunk, in_process)
            known = [row for row, values in zip(chunk, read, strict=True) if values is not None]
            trained = iter(_each(known, in_warehouse))
            for row, values in zip(chunk, read, strict=True):
                if values is not None:
                    _compare(report, service, row, values, next(trained), exact=exact)
                    continue
                report.refused += 1
                # Each of these rows takes a statement of its own, so only a few are tried.
                if report.refused <= TRIED and _each([row], in_warehouse) != [None]:
                    _note(report, "*", row, "fails", "values")
    finally:
        calculator.close()
    report.cases = cases
    return report


def _each(rows: Sequence[Row], compute: Callable[[Sequence[Row]], Sequence[T]]) -> list[T | None]:
    """Compute each row; None for a row that fails.

    One row that fails makes its statement fail, so the rows are halved until it is alone.
    """
    if not rows:
        return []
    try:
        return list(compute(rows))
    except PermanentError:
        if len(rows) == 1:
            return [None]
    half = len(rows) // 2
    return [*_each(rows[:half], compute), *_each(rows[half:], compute)]


def _in_training(
    manifest: Manifest,
    service: ServiceSpec,
    warehouse: Warehouse,
    types: Mapping[str, str],
    rows: Sequence[Row],
) -> list[Row]:
    """Compute each row in the warehouse, as training sets do."""
    d = dialect(manifest.dialect)
    constants = [
        {
            _NUMBER: str(number),
            **{name: _literal(d, value, types[name]) for name, value in row.items()},
        }
        for number, row in enumerate(rows)
    ]
    relation = f"({d.constants(constants)}\n)"
    names = ", ".join(d.quote(calculation.name) for calculation in service.calculations)
    finished = added(d, manifest.schema, relation, service.calculations, types, owner_of(service))
    query = f"SELECT {names} FROM ({finished}\n) AS calculated ORDER BY {d.quote(_NUMBER)}"
    return list(ledger.rows(warehouse, query))


def _compare(
    report: ServiceReport,
    service: ServiceSpec,
    row: Row,
    read: Sequence[Any],
    trained: Row | None,
    *,
    exact: bool,
) -> None:
    if trained is None:
        _note(report, "*", row, "values", "fails")
        return
    for calculation, value in zip(service.calculations, read, strict=True):
        report.compared += 1
        if not _agree(plain(value), plain(trained[calculation.name]), exact):
            _note(
                report,
                calculation.name,
                {name: row[name] for name in calculation.inputs if name in row},
                value,
                trained[calculation.name],
            )


def _note(report: ServiceReport, feature: str, row: Row, online: object, training: object) -> None:
    report.mismatch_count += 1
    if len(report.mismatches) < KEPT:
        report.mismatches.append(ServiceMismatch(report.service, feature, row, online, training))


def _agree(read: Any, trained: Any, exact: bool) -> bool:  # noqa: ANN401 - values of any type
    if isinstance(read, list) and isinstance(trained, list):
        return len(read) == len(trained) and all(
            _agree(*both, exact) for both in zip(read, trained, strict=True)
        )
    # Readers compute in DuckDB. Another warehouse may differ in the last digits of a float.
    near = isinstance(read, float) and isinstance(trained, float) and not exact
    return same(read, trained) or (near and math.isclose(read, trained, rel_tol=_CLOSE))


def _literal(d: Dialect, value: Any, value_type: str) -> str:  # noqa: ANN401
    if value is None:
        return d.cast("NULL", value_type)
    if is_list(value_type):
        items = [_literal(d, item, item_type(value_type)) for item in value]
        return d.cast(d.array(items) if items else d.empty_list(), value_type)
    return d.literal(micros(value) if value_type == "timestamp" else value, value_type)


_DAY, _INSTANT = date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)
# Values at which engines differ: 2**53 + 1 is no float; two forms of "é" are equal to a reader and
# not to a computer; "😀" and "\uffff" sort differently in UTF-8 and UTF-16.
_EDGES: Mapping[str, Sequence[Any]] = {
    "bool": (True, False),
    "int64": (0, 1, -1, 2, 10, 2**53 + 1, -(2**62)),
    "float64": (0.0, -0.0, 1.0, 0.1, -2.5, 1e-300, 1e300, math.nan, math.inf, -math.inf),
    "string": ("", "a", "A", "é", "e\u0301", "ß", "😀", "名", "it's", '"\\', " x ", "12", "\uffff"),
    "binary": (b"", b"\x00\xff", b"a"),
    "date": (_DAY, date(1969, 12, 31), date(1970, 1, 1)),
    "timestamp": (
        _INSTANT,
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    ),
}
_SELDOM = 0.1  # the share of nulls; three times this share are limits of the type


def _value(value_type: str, choice: random.Random, nullable: bool) -> Any:  # noqa: ANN401
    """Choose a value of a type: a limit of the type, or an ordinary value."""
    if nullable and choice.random() < _SELDOM:
        return None
    if is_list(value_type):
        count = choice.randint(0, 3)
        return [_value(item_type(value_type), choice, nullable=True) for _ in range(count)]
    if is_decimal(value_type):
        digits = decimal_precision(value_type)
        most = 10 ** choice.choice((digits, min(digits, 4))) - 1
        return Decimal(choice.choice((0, most, -most, choice.randint(-most, most)))).scaleb(
            -decimal_scale(value_type)
        )
    if value_type == "bool" or choice.random() < 3 * _SELDOM:
        return choice.choice(_EDGES[value_type])
    match value_type:
        case "int64":
            return choice.randint(-100, 1000)
        case "float64":
            return choice.uniform(-10, 100)
        case "date":
            return _DAY + timedelta(days=choice.randint(-1000, 1000))
        case "timestamp":
            return _INSTANT + timedelta(microseconds=choice.randint(-(10**14), 10**14))
        case _:
            text = "".join(
                choice.choices(string.ascii_letters + string.digits, k=choice.randint(1, 8))
            )
            return text if value_type == "string" else text.encode()
