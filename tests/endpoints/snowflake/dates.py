"""Functions of time."""

from __future__ import annotations

import re

from sqlglot import exp

from tests.endpoints.snowflake.context import Context, Handler, call, cast
from tests.endpoints.snowflake.errors import unsupported

_OF_DAYS = {
    "DAY": "to_days",
    "WEEK": "to_weeks",
    "MONTH": "to_months",
    "QUARTER": "to_quarters",
    "YEAR": "to_years",
}
_OF_TIME = {
    "HOUR": "to_hours",
    "MINUTE": "to_minutes",
    "SECOND": "to_seconds",
    "MILLISECOND": "to_milliseconds",
    "MICROSECOND": "to_microseconds",
}
_EPOCHS = {
    "EPOCH_SECOND": 1_000_000,
    "EPOCH": 1_000_000,
    "EPOCH_MILLISECOND": 1000,
    "EPOCH_MICROSECOND": 1,
}
_PARTS = {
    "YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "DAYOFYEAR", "WEEKISO", "DAYOFWEEK", "DAYOFWEEKISO",
}  # fmt: skip
_PART_NAMES = {"WEEKISO": "week", "DAYOFWEEKISO": "isodow"}
_FORMATS = {
    "YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S", "FF6": "%f", "FF3": "%g",
}  # fmt: skip


def unit_of(node: exp.Expr) -> str:
    unit = node.args.get("unit")
    if unit is None:
        raise unsupported(f"{node.sql('snowflake')} without a unit")
    return str(unit.name).upper()


def _interval(unit: str, count: exp.Expr) -> exp.Expr:
    if unit == "NANOSECOND":
        return call(
            "to_microseconds",
            cast(
                exp.Anonymous(
                    this="floor",
                    expressions=[exp.Div(this=count, expression=exp.Literal.number(1000))],
                ),
                "BIGINT",
            ),
        )
    name = _OF_DAYS.get(unit) or _OF_TIME.get(unit)
    if name is None:
        raise unsupported(f"unit {unit}")
    return call(name, cast(count, "BIGINT"))


def date_add(node: exp.Expr, _: Context) -> exp.Expr:
    unit = unit_of(node)
    moved = exp.Paren(this=exp.Add(this=node.this, expression=_interval(unit, node.expression)))
    # A date stays a date, unless hours are added to it.
    return call("cast_to_type", moved, node.this.copy()) if unit in _OF_DAYS else moved


def date_diff(node: exp.Expr, _: Context) -> exp.Expr:
    unit, earlier, later = unit_of(node), node.expression, node.this
    if unit == "WEEK":
        return call("sf_weeks", earlier, later)
    if unit not in _OF_DAYS and unit not in _OF_TIME:
        raise unsupported(f"DATEDIFF of {unit}")
    return call("date_diff", unit.lower(), cast(earlier, "TIMESTAMP"), cast(later, "TIMESTAMP"))


def date_trunc(node: exp.Expr, _: Context) -> exp.Expr:
    unit = unit_of(node)
    if unit not in _OF_DAYS and unit not in _OF_TIME:
        raise unsupported(f"DATE_TRUNC to {unit}")
    return call("cast_to_type", call("date_trunc", unit.lower(), node.this), node.this.copy())


def date_part(node: exp.Expr, _: Context) -> exp.Expr:
    part, time = str(node.this.name).upper(), node.expression
    if part == "EPOCH_NANOSECOND":
        return exp.Mul(
            this=cast(call("epoch_us", cast(time, "TIMESTAMP")), "HUGEINT"),
            expression=exp.Literal.number(1000),
        )
    if part in _EPOCHS:
        micros = call("epoch_us", cast(time, "TIMESTAMP"))
        down = exp.Anonymous(
            this="floor",
            expressions=[exp.Div(this=micros, expression=exp.Literal.number(_EPOCHS[part]))],
        )
        return micros if _EPOCHS[part] == 1 else cast(down, "BIGINT")
    if part not in _PARTS:
        raise unsupported(f"DATE_PART of {part}")
    return call("date_part", _PART_NAMES.get(part, part.lower()), time)


def part(name: str) -> Handler:
    return lambda node, _: call("date_part", name, node.this)


def from_epoch(node: exp.Expr, _: Context) -> exp.Expr:
    target = node.args.get("target_type")
    if target is not None and target.this not in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ):
        raise unsupported(node.sql("snowflake"))
    scale = int(node.args["scale"].this) if node.args.get("scale") else 0
    ten = exp.Literal.number(10 ** abs(6 - scale))
    if scale <= 6:
        micros: exp.Expr = exp.Mul(this=cast(exp.Paren(this=node.this), "HUGEINT"), expression=ten)
    else:
        micros = call("floor", exp.Div(this=exp.Paren(this=node.this), expression=ten))
    return call("make_timestamp", cast(exp.Paren(this=micros), "BIGINT"))


def convert_timezone(node: exp.Expr, _: Context) -> exp.Expr:
    source = node.args.get("source_tz")
    if source is None:
        if node.args["target_tz"].name.upper() != "UTC":
            raise unsupported(
                "CONVERT_TIMEZONE without the zone it comes from, to another than UTC"
            )
        return call("make_timestamp", call("epoch_us", node.args["timestamp"]))
    instant = call("timezone", source, cast(node.args["timestamp"], "TIMESTAMP"))
    return call("timezone", node.args["target_tz"], instant)


def current_timestamp(node: exp.Expr, context: Context) -> exp.Expr:
    if context.kept:
        now: exp.Expr = call("get_current_timestamp")
    else:
        now = cast(context.now.isoformat(" ", "microseconds"), "TIMESTAMPTZ")
    return call("timezone", "UTC", now) if node.args.get("sysdate") else now


def current_date(node: exp.Expr, context: Context) -> exp.Expr:
    return cast(current_timestamp(exp.CurrentTimestamp(sysdate=True), context), "DATE")


def time_slice(node: exp.Expr, _: Context) -> exp.Expr:
    unit = unit_of(node)
    origin = "1969-12-29" if unit == "WEEK" else "1970-01-01"
    if (kind := node.args.get("kind")) is not None and str(kind.name).upper() != "START":
        raise unsupported("TIME_SLICE to the end of a slice")
    slices = call(
        "time_bucket",
        _interval(unit, node.expression),
        cast(node.this, "TIMESTAMP"),
        cast(origin, "TIMESTAMP"),
    )
    return call("cast_to_type", slices, node.this.copy())


def formatted(value: exp.Expr, pattern: str) -> exp.Expr:
    """TO_VARCHAR with a format."""
    parts = re.split(r'(YYYY|HH24|FF6|FF3|MM|DD|MI|SS|"[^"]*")', pattern)
    if any(re.search(r"[A-Za-z%]", text) for text in parts[::2]):
        raise unsupported(f"format {pattern}")
    return call(
        "strftime",
        cast(value, "TIMESTAMP"),
        "".join(_FORMATS.get(text, text.strip('"')) for text in parts),
    )


def _time_to_text(node: exp.Expr, _: Context) -> exp.Expr:
    """TO_VARCHAR of what is a time for sure: the parser has read its format already."""
    pattern = node.args["format"].name.replace("%f_three", "%g")
    if re.search(r"[A-SU-Ya-z_]", re.sub("%[YmdHMSfg]", "", pattern)):
        raise unsupported(f"format {pattern}")
    return call("strftime", cast(node.this, "TIMESTAMP"), pattern)


HANDLERS: dict[type[exp.Expr], Handler] = {
    exp.DateAdd: date_add,
    exp.DateDiff: date_diff,
    exp.TimestampTrunc: date_trunc,
    exp.DateTrunc: date_trunc,
    exp.Extract: date_part,
    exp.UnixToTime: from_epoch,
    exp.ConvertTimezone: convert_timezone,
    exp.CurrentTimestamp: current_timestamp,
    exp.CurrentDate: current_date,
    exp.TimeSlice: time_slice,
    exp.TimeToStr: _time_to_text,
    exp.Year: part("year"),
    exp.Month: part("month"),
    exp.Day: part("day"),
    exp.Hour: part("hour"),
    exp.Minute: part("minute"),
    exp.Second: part("second"),
    exp.DayOfWeekIso: part("isodow"),
}
