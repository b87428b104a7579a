"""The expectations of one view or source, checked against the columns of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from controlplane.base.ports import Warehouse, described
from controlplane.base.types import (
    decimal_scale,
    format_instant,
    is_decimal,
    is_whole,
    parse_date,
    parse_instant,
    parse_type,
)
from controlplane.compile import transformation
from controlplane.compile.problems import Collector, listing
from controlplane.definitions import expect
from controlplane.definitions.expect import Expectation
from controlplane.errors import Location, PermanentError
from controlplane.manifest.expectations import (
    BetweenSpec,
    Expected,
    NotNullSpec,
    OneOfSpec,
    RowsSpec,
    ThatSpec,
    TypedColumn,
    UniqueSpec,
)

SEVERITIES = ("error", "warning")
_FINEST = 9  # digits of a share
_VALUES = {
    "bool": "True or False",
    "int64": "a whole number",
    "float64": "a number",
    "string": "text",
    "date": 'a date, such as "2013-01-31"',
    "timestamp": 'a time, such as "2013-01-31T06:00:00Z"',
}
_ORDERED = ("int64", "float64", "string", "date", "timestamp", "a decimal")


@dataclass(frozen=True)
class Relation:
    """Some rows; a query selects from them as `<before> SELECT ... FROM <name>`."""

    columns: Mapping[str, str]
    before: str
    name: str


def compile_expectations(
    expectations: Sequence[object],
    subject: str,
    location: Location,
    relation: Relation,
    dialect: str,
    warehouse: Warehouse,
    collector: Collector,
) -> tuple[Expected, ...]:
    """Return the valid expectations; note what is wrong with the others.

    Args:
        expectations: as they were declared.
        subject: what messages call the view or source that has them.
        location: of that view or source.
        relation: the rows to which they apply.
        dialect: of their conditions.
        warehouse: describes the conditions to get their types.
        collector: takes the problems.
    """
    compiler = _Compiler(subject, relation, dialect, warehouse, collector)
    specs: dict[str, Expected] = {}
    for expectation in expectations:
        if not isinstance(expectation, Expectation):
            hint = "create it with controlplane.expect, such as expect.not_null('origin')"
            collector.add(f"{subject}: {expectation!r:.60} is not an expectation", location, hint)
            continue
        spec = compiler.compiled(expectation)
        # Its problems are noted; the other expectations are checked all the same.
        if spec is None:
            continue
        if spec.name in specs:
            text = f"{subject}: expectation {spec.name!r} is declared twice"
            collector.add(text, expectation.location, "remove one, or give it another name=")
        specs[spec.name] = spec
    return tuple(specs.values())


@dataclass(frozen=True)
class _Compiler:
    subject: str
    relation: Relation
    dialect: str
    warehouse: Warehouse
    collector: Collector

    def compiled(self, expectation: Expectation) -> Expected | None:
        """Return the spec of an expectation; None after its problems were noted."""
        before = len(self.collector.problems)
        self._check_common(expectation)
        spec = self._spec(expectation)
        return spec if len(self.collector.problems) == before else None

    def _wrong(self, expectation: Expectation, text: str, hint: str) -> None:
        self.collector.add(
            f"{self.subject}, {_title(expectation)}: {text}", expectation.location, hint
        )

    def _check_common(self, expectation: Expectation) -> None:
        if expectation.severity not in SEVERITIES:
            self._wrong(
                expectation,
                f"{expectation.severity!r} is not a severity",
                f"choose from: {listing(SEVERITIES)}",
            )
        share = expectation.may_fail
        # For Python, True is an int.
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            self._wrong(
                expectation,
                f"may_fail is {share!r}",
                "give a share of the rows, from 0 to below 1, such as 0.01",
            )
        if expectation.name is not None and not (
            isinstance(expectation.name, str) and expectation.name.strip()
        ):
            self._wrong(
                expectation,
                f"{expectation.name!r} is not a name",
                "give a text, or leave name= out",
            )

    def _spec(self, expectation: Expectation) -> Expected | None:
        match expectation:
            case expect.Rows():
                return self._rows(expectation)
            case expect.NotNull():
                column = self._column(expectation, expectation.column)
                return column and NotNullSpec(*self._common(expectation), column=column)
            case expect.Between():
                return self._between(expectation)
            case expect.OneOf():
                return self._one_of(expectation)
            case expect.Unique():
                return self._unique(expectation)
            case expect.That():
                return self._that(expectation)
            case _:
                raise TypeError(f"no such expectation: {expectation!r}")

    def _common(self, expectation: Expectation) -> tuple[str, str, float]:
        return (
            expectation.name or _title(expectation),
            expectation.severity,
            # Rounded: 0.1 + 0.2 is the same share as 0.3.
            round(float(expectation.may_fail), _FINEST),
        )

    def _rows(self, expectation: expect.Rows) -> Expected | None:
        bounds = (expectation.at_least, expectation.at_most)
        if bounds == (None, None):
            self._wrong(expectation, "it has no bounds", "give at_least=1, or at_most=")
        elif any(bound is not None and not is_whole(bound, 0) for bound in bounds):
            self._wrong(
                expectation,
                "a number of rows must be a whole number, 0 or more",
                "correct at_least or at_most",
            )
        elif (
            expectation.at_least is not None
            and expectation.at_most is not None
            and expectation.at_least > expectation.at_most
        ):
            self._wrong(
                expectation,
                "at_least is above at_most",
                "swap them, or correct one",
            )
        else:
            return RowsSpec(
                *self._common(expectation),
                at_least=expectation.at_least,
                at_most=expectation.at_most,
            )
        return None

    def _between(self, expectation: expect.Between) -> Expected | None:
        column = self._column(expectation, expectation.column, _ORDERED)
        if expectation.low is None and expectation.high is None:
            self._wrong(
                expectation, "it has no bounds", "give the lowest value, the highest, or both"
            )
            return None
        if column is None:
            return None
        low, high = (
            None if value is None else self._value(expectation, value, column)
            for value in (expectation.low, expectation.high)
        )
        if (
            low is not None
            and high is not None
            and _comparable(low, column[1]) > _comparable(high, column[1])
        ):
            self._wrong(expectation, "low is above high", "give the lower value first")
        return BetweenSpec(*self._common(expectation), column=column, low=low, high=high)

    def _one_of(self, expectation: expect.OneOf) -> Expected | None:
        column = self._column(expectation, expectation.column, ("bool", *_ORDERED))
        if isinstance(expectation.values, str) or not expectation.values:
            self._wrong(
                expectation, "it has no list of values", 'give them as a list: ["EWR", "JFK"]'
            )
            return None
        if column is None:
            return None
        values = [self._value(expectation, value, column) for value in expectation.values]
        return OneOfSpec(
            *self._common(expectation),
            column=column,
            values=tuple(v for v in values if v is not None),
        )

    def _unique(self, expectation: expect.Unique) -> Expected | None:
        if not expectation.columns:
            self._wrong(
                expectation, "it has no column", 'give one column or several: unique("flight_id")'
            )
        columns = [
            self._column(expectation, column, ("bool", "binary", *_ORDERED))
            for column in expectation.columns
        ]
        return UniqueSpec(
            *self._common(expectation),
            columns=tuple(column for column in columns if column is not None),
        )

    def _that(self, expectation: expect.That) -> Expected | None:
        hint = "write one condition, such as dep_delay > 0"
        condition = str(expectation.condition)
        try:
            transformation.canonical_condition(condition, self.dialect)
            query = (
                f"{self.relation.before}\nSELECT ({condition}\n) AS plane_holds FROM"
                f" {self.relation.name}"
            )
            # Only the warehouse knows the type of an expression in its dialect.
            [condition_type] = described(self.warehouse, query.strip()).values()
        except ValueError as error:
            self._wrong(expectation, str(error), hint)
            return None
        except PermanentError as error:
            columns = f"the columns are: {listing(self.relation.columns)}"
            self._wrong(
                expectation, f"the warehouse refuses its condition: {error.message}", columns
            )
            return None
        if condition_type != "bool":
            self._wrong(
                expectation,
                f"its condition is {condition_type}, not bool",
                "write a comparison, such as amount > 0",
            )
        return ThatSpec(*self._common(expectation), condition=condition)

    def _column(
        self, expectation: Expectation, name: object, allowed_types: Sequence[str] = ()
    ) -> TypedColumn | None:
        """Return the column with its canonical type; `allowed_types` is empty if any will do."""
        actual = self.relation.columns.get(name) if isinstance(name, str) else None
        if actual is None or not isinstance(name, str):
            self._wrong(
                expectation,
                f"there is no column {name!r}",
                f"the columns are: {listing(self.relation.columns)}",
            )
            return None
        if not allowed_types:
            return name, actual
        try:
            column_type = parse_type(actual)
        except ValueError:
            column_type = ""
        if ("a decimal" if is_decimal(column_type) else column_type) not in allowed_types:
            self._wrong(
                expectation,
                f"column {name!r} is {actual}",
                f"it takes {listing(allowed_types)}; or write a condition with expect.that",
            )
            return None
        return name, column_type

    def _value(self, expectation: Expectation, value: object, column: TypedColumn) -> str | None:
        """Return the value as exact text of the column's type; None after a problem was noted."""
        name, column_type = column
        # As text: JSON has no decimals, and no dates.
        text = _spelled(value, column_type)
        if text is None:
            fits = (
                f"a number with {decimal_scale(column_type)} decimals"
                if is_decimal(column_type)
                else _VALUES[column_type]
            )
            self._wrong(
                expectation,
                f"column {name!r} is {column_type}, which {value!r} is not",
                f"give {fits}",
            )
        return text


def _spelled(value: Any, column_type: str) -> str | None:  # noqa: ANN401 - what a user wrote
    """Return the value as exact text of a type; None if it is not a value of that type."""
    number = (
        isinstance(value, int | float | Decimal)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
    try:
        match column_type:
            case "bool" | "int64":
                return (
                    str(value).lower()
                    if type(value) is {"bool": bool, "int64": int}[column_type]
                    else None
                )
            case "float64":
                return repr(float(value)) if number else None
            case "string":
                return value if isinstance(value, str) else None
            case "date":
                is_date = isinstance(value, date) and not isinstance(value, datetime)
                return (value if is_date else parse_date(value)).isoformat()
            case "timestamp":
                return format_instant(
                    value if isinstance(value, datetime) else parse_instant(value)
                )
        # All other types are decimals.
        exact = Decimal(str(value)) if number else None
        scaled = (
            None
            if exact is None
            else exact.quantize(Decimal(1).scaleb(-decimal_scale(column_type)))
        )
    except (ValueError, TypeError, ArithmeticError):
        return None
    return None if exact is None or scaled != exact else f"{scaled:f}"


def _comparable(text: str, column_type: str) -> Any:  # noqa: ANN401 - of the column's type
    """Convert a value's text to a value that orders like the column."""
    if column_type == "timestamp":
        return parse_instant(text)
    return text if column_type in ("string", "date") else Decimal(text)


def _title(expectation: Expectation) -> str:
    """Return the name of an expectation that was declared without one."""
    match expectation:
        case expect.Rows():
            bounds = {"at_least": expectation.at_least, "at_most": expectation.at_most}
            said = ", ".join(
                f"{name}={bound}" for name, bound in bounds.items() if bound is not None
            )
            return f"rows({said})"
        case expect.NotNull():
            return f"not_null({expectation.column})"
        case expect.Between():
            if expectation.low is None and expectation.high is None:
                return f"between({expectation.column})"
            if expectation.low is None or expectation.high is None:
                return (
                    f"{expectation.column} >= {expectation.low}"
                    if expectation.high is None
                    else f"{expectation.column} <= {expectation.high}"
                )
            return f"between({expectation.column}, {expectation.low}, {expectation.high})"
        case expect.OneOf():
            return f"one_of({expectation.column})"
        case expect.Unique():
            return f"unique({', '.join(map(str, expectation.columns))})"
        case expect.That():
            return " ".join(str(expectation.condition).split())
        case _:
            return f"{expectation!r:.60}"
