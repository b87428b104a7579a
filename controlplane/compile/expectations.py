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
    """Some rows: their columns, and how a query selects from them: `<before> SELECT ... FROM
    <name>`."""

    columns: Mapping[str, str]
    before: str
    name: str


def compile_expectations(
    expectations: Sequence[object],
    what: str,
    where: Location,
    relation: Relation,
    dialect: str,
    warehouse: Warehouse,
    collector: Collector,
) -> tuple[Expected, ...]:
    """The expectations that are right; what is wrong with the others is noted.

    Args:
        expectations: as they were declared.
        what: whose they are, as messages say it.
        where: where it was declared whose they are.
        relation: the rows that they speak of.
        dialect: of their conditions.
        warehouse: asked for the conditions' types.
        collector: takes the problems.
    """
    compiler = _Compiler(what, relation, dialect, warehouse, collector)
    found: dict[str, Expected] = {}
    for expectation in expectations:
        if not isinstance(expectation, Expectation):
            hint = "make it with controlplane.expect, such as expect.not_null('origin')"
            collector.add(f"{what}: {expectation!r:.60} is not an expectation", where, hint)
            continue
        spec = compiler.compiled(expectation)
        if spec is None:
            continue
        if spec.name in found:
            text = f"{what}: expectation {spec.name!r} is declared twice"
            collector.add(text, expectation.location, "remove one, or give it another name=")
        found[spec.name] = spec
    return tuple(found.values())


@dataclass(frozen=True)
class _Compiler:
    what: str
    relation: Relation
    dialect: str
    warehouse: Warehouse
    collector: Collector

    def compiled(self, one: Expectation) -> Expected | None:
        """The spec, or None after its problems were noted."""
        before = len(self.collector.found)
        self._check_common(one)
        spec = self._spec(one)
        return spec if len(self.collector.found) == before else None

    def _wrong(self, one: Expectation, text: str, hint: str) -> None:
        self.collector.add(f"{self.what}, {_title(one)}: {text}", one.location, hint)

    def _check_common(self, one: Expectation) -> None:
        if one.severity not in SEVERITIES:
            self._wrong(
                one, f"there is no severity {one.severity!r}", f"choose from: {listing(SEVERITIES)}"
            )
        share = one.may_fail
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            self._wrong(
                one,
                f"may_fail is {share!r}",
                "give a share of the rows, from 0 to below 1, such as 0.01",
            )
        if one.name is not None and not (isinstance(one.name, str) and one.name.strip()):
            self._wrong(one, f"{one.name!r} is not a name", "give some text, or leave name= out")

    def _spec(self, one: Expectation) -> Expected | None:
        match one:
            case expect.Rows():
                return self._rows(one)
            case expect.NotNull():
                column = self._column(one, one.column)
                return column and NotNullSpec(*self._common(one), column=column)
            case expect.Between():
                return self._between(one)
            case expect.OneOf():
                return self._one_of(one)
            case expect.Unique():
                return self._unique(one)
            case expect.That():
                return self._that(one)
            case _:
                raise TypeError(f"no such expectation: {one!r}")

    def _common(self, one: Expectation) -> tuple[str, str, float]:
        return one.name or _title(one), one.severity, round(float(one.may_fail), _FINEST)

    def _rows(self, one: expect.Rows) -> Expected | None:
        bounds = (one.at_least, one.at_most)
        if bounds == (None, None):
            self._wrong(one, "it says nothing", "give at_least=1, or at_most=")
        elif any(bound is not None and (type(bound) is not int or bound < 0) for bound in bounds):
            self._wrong(
                one, "a number of rows is a whole number from 0 on", "correct at_least or at_most"
            )
        elif one.at_least is not None and one.at_most is not None and one.at_least > one.at_most:
            self._wrong(
                one, "no number of rows is right", "give an at_least that is not above at_most"
            )
        else:
            return RowsSpec(*self._common(one), at_least=one.at_least, at_most=one.at_most)
        return None

    def _between(self, one: expect.Between) -> Expected | None:
        column = self._column(one, one.column, _ORDERED)
        if one.low is None and one.high is None:
            self._wrong(one, "it says nothing", "give the lowest value, the highest, or both")
            return None
        if column is None:
            return None
        low, high = (
            None if value is None else self._value(one, value, column)
            for value in (one.low, one.high)
        )
        if (
            low is not None
            and high is not None
            and _comparable(low, column[1]) > _comparable(high, column[1])
        ):
            self._wrong(one, "no value lies there", "give the lower value first")
        return BetweenSpec(*self._common(one), column=column, low=low, high=high)

    def _one_of(self, one: expect.OneOf) -> Expected | None:
        column = self._column(one, one.column, ("bool", *_ORDERED))
        if isinstance(one.values, str) or not one.values:
            self._wrong(one, "it has no list of values", 'give them as a list: ["EWR", "JFK"]')
            return None
        if column is None:
            return None
        values = [self._value(one, value, column) for value in one.values]
        return OneOfSpec(
            *self._common(one), column=column, values=tuple(v for v in values if v is not None)
        )

    def _unique(self, one: expect.Unique) -> Expected | None:
        if not one.columns:
            self._wrong(one, "it names no column", 'name one or several: unique("flight_id")')
        columns = [
            self._column(one, column, ("bool", "binary", *_ORDERED)) for column in one.columns
        ]
        return UniqueSpec(
            *self._common(one), columns=tuple(column for column in columns if column is not None)
        )

    def _that(self, one: expect.That) -> Expected | None:
        hint = "write one condition, such as dep_delay > 0"
        condition = str(one.condition)
        try:
            transformation.canonical_condition(condition, self.dialect)
            query = (
                f"{self.relation.before}\nSELECT ({condition}\n) AS plane_holds FROM"
                f" {self.relation.name}"
            )
            [kind] = described(self.warehouse, query.strip()).values()
        except ValueError as error:
            self._wrong(one, str(error), hint)
            return None
        except PermanentError as error:
            columns = f"the columns are: {listing(self.relation.columns)}"
            self._wrong(one, f"the warehouse refuses its condition: {error.message}", columns)
            return None
        if kind != "bool":
            self._wrong(one, f"its condition is {kind}, not bool", "compare with something")
        return ThatSpec(*self._common(one), condition=condition)

    def _column(
        self, one: Expectation, name: object, kinds: Sequence[str] = ()
    ) -> TypedColumn | None:
        """The column with its canonical type, which must be one of `kinds`, if there are any."""
        actual = self.relation.columns.get(name) if isinstance(name, str) else None
        if actual is None or not isinstance(name, str):
            self._wrong(
                one,
                f"there is no column {name!r}",
                f"the columns are: {listing(self.relation.columns)}",
            )
            return None
        if not kinds:
            return name, actual
        try:
            kind = parse_type(actual)
        except ValueError:
            kind = ""
        if ("a decimal" if is_decimal(kind) else kind) not in kinds:
            self._wrong(
                one,
                f"column {name!r} is {actual}",
                f"it takes {listing(kinds)}; or say it with expect.that",
            )
            return None
        return name, kind

    def _value(self, one: Expectation, value: object, column: TypedColumn) -> str | None:
        """The value as exact text of the column's type."""
        name, kind = column
        text = _spelled(value, kind)
        if text is None:
            fits = (
                f"a number with {decimal_scale(kind)} decimals"
                if is_decimal(kind)
                else _VALUES[kind]
            )
            self._wrong(one, f"column {name!r} is {kind}, which {value!r} is not", f"give {fits}")
        return text


def _spelled(value: Any, kind: str) -> str | None:  # noqa: ANN401 - what a user wrote
    """The value as exact text of this type; None if it is none."""
    number = (
        isinstance(value, int | float | Decimal)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
    try:
        match kind:
            case "bool" | "int64":
                return (
                    str(value).lower()
                    if type(value) is {"bool": bool, "int64": int}[kind]
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
        # What is left is a decimal.
        exact = Decimal(str(value)) if number else None
        scaled = None if exact is None else exact.quantize(Decimal(1).scaleb(-decimal_scale(kind)))
    except (ValueError, TypeError, ArithmeticError):
        return None
    return None if exact is None or scaled != exact else f"{scaled:f}"


def _comparable(text: str, kind: str) -> Any:  # noqa: ANN401 - of the column's type
    """A value's text as something that orders like the column."""
    if kind == "timestamp":
        return parse_instant(text)
    return text if kind in ("string", "date") else Decimal(text)


def _title(one: Expectation) -> str:
    """What an expectation is called that was given no name."""
    match one:
        case expect.Rows():
            bounds = {"at_least": one.at_least, "at_most": one.at_most}
            said = ", ".join(
                f"{name}={bound}" for name, bound in bounds.items() if bound is not None
            )
            return f"rows({said})"
        case expect.NotNull():
            return f"not_null({one.column})"
        case expect.Between():
            if one.low is None and one.high is None:
                return f"between({one.column})"
            if one.low is None or one.high is None:
                return (
                    f"{one.column} >= {one.low}"
                    if one.high is None
                    else f"{one.column} <= {one.high}"
                )
            return f"between({one.column}, {one.low}, {one.high})"
        case expect.OneOf():
            return f"one_of({one.column})"
        case expect.Unique():
            return f"unique({', '.join(map(str, one.columns))})"
        case expect.That():
            return " ".join(str(one.condition).split())
        case _:
            return f"{one!r:.60}"
