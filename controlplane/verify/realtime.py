"""Calculations and realtime features of a service: what readers compute in their process against
the warehouse.

Both get the same rows of values at random, among them nulls, NaN, infinities, the ends of types,
texts of any script.
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
"""Gets a query and the functions that it calls ready; see `Calculator`."""
CHUNK = 100
"""Rows in one query."""
KEPT = 20
"""Differences of a service that are shown; the others are counted."""
TRIED = 3
"""Rows that fail in this process, and are tried in the warehouse."""
_CLOSE = 1e-9
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
    """Compute a service's calculations of so many rows in both places.

    A row that fails in this process must fail in the warehouse, too: some of these are tried.

    Raises:
        PlaneError: the warehouse refuses.
    """
    report = ServiceReport(service.name)
    d = dialect(manifest.dialect)
    types = request_types(service) | feature_types(manifest, service)
    inputs, query, made = in_memory(manifest, service)
    may_lack = dict.fromkeys(types, True) | {one.name: one.nullable for one in service.request}
    choice = random.Random(f"{seed} {service.name}")  # noqa: S311 - a seed gives the same rows
    rows = [
        {name: _value(types[name], choice, may_lack[name]) for name in inputs} for _ in range(cases)
    ]
    warehouse.execute(functions(d, manifest, service))
    calculator = open_calculator(query, made)

    def in_process(some: Sequence[Row]) -> Sequence[Sequence[Any]]:
        return calculator.compute(
            [[row[name] for row in some] for name in inputs] or [[True] * len(some)]
        )

    def in_warehouse(some: Sequence[Row]) -> Sequence[Row]:
        return _told(manifest, service, warehouse, types, some)

    try:
        for start in range(0, cases, CHUNK):
            some = rows[start : start + CHUNK]
            here = _each(some, in_process)
            known = [row for row, values in zip(some, here, strict=True) if values is not None]
            there = iter(_each(known, in_warehouse))
            for row, values in zip(some, here, strict=True):
                if values is not None:
                    _compare(report, service, row, values, next(there), exact=d.name == DUCKDB.name)
                    continue
                report.refused += 1
                # One after the other, so only some of them.
                if report.refused <= TRIED and _each([row], in_warehouse) != [None]:
                    _note(report, "*", row, "fails", "values")
    finally:
        calculator.close()
    report.cases = cases
    return report


def _each(rows: Sequence[Row], compute: Callable[[Sequence[Row]], Sequence[T]]) -> list[T | None]:
    """What is computed of each row; None where that fails."""
    if not rows:
        return []
    try:
        return list(compute(rows))
    except PermanentError:
        if len(rows) == 1:
            return [None]
    half = len(rows) // 2
    return [*_each(rows[:half], compute), *_each(rows[half:], compute)]


def _told(
    manifest: Manifest,
    service: ServiceSpec,
    warehouse: Warehouse,
    types: Mapping[str, str],
    rows: Sequence[Row],
) -> list[Row]:
    """What the warehouse computes of each row."""
    d = dialect(manifest.dialect)
    constants = [
        {
            _NUMBER: str(number),
            **{name: _literal(d, value, types[name]) for name, value in row.items()},
        }
        for number, row in enumerate(rows)
    ]
    relation = f"({d.constants(constants)}\n)"
    names = ", ".join(d.quote(one.name) for one in service.calculations)
    finished = added(d, manifest.schema, relation, service.calculations, types, owner_of(service))
    query = f"SELECT {names} FROM ({finished}\n) AS calculated ORDER BY {d.quote(_NUMBER)}"
    return list(ledger.rows(warehouse, query))


def _compare(
    report: ServiceReport,
    service: ServiceSpec,
    row: Row,
    here: Sequence[Any],
    there: Row | None,
    *,
    exact: bool,
) -> None:
    if there is None:
        _note(report, "*", row, "values", "fails")
        return
    for one, value in zip(service.calculations, here, strict=True):
        report.compared += 1
        if not _agree(plain(value), plain(there[one.name]), exact):
            _note(
                report,
                one.name,
                {name: row[name] for name in one.inputs if name in row},
                value,
                there[one.name],
            )


def _note(report: ServiceReport, feature: str, row: Row, online: object, training: object) -> None:
    report.mismatch_count += 1
    if len(report.mismatches) < KEPT:
        report.mismatches.append(ServiceMismatch(report.service, feature, row, online, training))


def _agree(here: Any, there: Any, exact: bool) -> bool:  # noqa: ANN401 - values of any type
    if isinstance(here, list) and isinstance(there, list):
        return len(here) == len(there) and all(
            _agree(*both, exact) for both in zip(here, there, strict=True)
        )
    near = isinstance(here, float) and isinstance(there, float) and not exact
    return same(here, there) or (near and math.isclose(here, there, rel_tol=_CLOSE))


def _literal(d: Dialect, value: Any, kind: str) -> str:  # noqa: ANN401
    if value is None:
        return d.cast("NULL", kind)
    if is_list(kind):
        items = [_literal(d, item, item_type(kind)) for item in value]
        return d.cast(d.array(items) if items else d.empty_list(), kind)
    return d.literal(micros(value) if kind == "timestamp" else value, kind)


_DAY, _INSTANT = date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)
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
_SELDOM = 0.1


def _value(kind: str, choice: random.Random, nullable: bool) -> Any:  # noqa: ANN401
    """Any value of a type: one of its edges, or an ordinary one."""
    if nullable and choice.random() < _SELDOM:
        return None
    if is_list(kind):
        return [_value(item_type(kind), choice, nullable=True) for _ in range(choice.randint(0, 3))]
    if is_decimal(kind):
        digits = decimal_precision(kind)
        most = 10 ** choice.choice((digits, min(digits, 4))) - 1
        return Decimal(choice.choice((0, most, -most, choice.randint(-most, most)))).scaleb(
            -decimal_scale(kind)
        )
    if kind == "bool" or choice.random() < 3 * _SELDOM:
        return choice.choice(_EDGES[kind])
    match kind:
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
            return text if kind == "string" else text.encode()
