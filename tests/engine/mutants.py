"""Mistakes that a renderer could make, each a replacement in the SQL it renders: every one must be
noticed."""

from __future__ import annotations

import re
from collections.abc import Callable

from controlplane.verify.oracle import RowFeature, View, WindowFeature
from tests.engine.mutation import Mutant
from tests.engine.shapes import Form, Shape


def _windows(view: View) -> list[WindowFeature]:
    return [feature for feature in view.features if isinstance(feature, WindowFeature)]


def _has(*functions: str) -> Callable[[View], bool]:
    return lambda view: any(feature.function.startswith(functions) for feature in _windows(view))


def _rows(view: View) -> bool:
    return view.time is not None and any(
        isinstance(feature, RowFeature) for feature in view.features
    )


def _looked_up(view: View) -> bool:
    return _rows(view) and not _windows(view)


def _shorter(match: re.Match[str]) -> str:
    return f"BETWEEN INTERVAL {int(match[1]) - 1} MICROSECONDS PRECEDING"


def _any(true: Callable[[WindowFeature], object]) -> Callable[[View], bool]:
    return lambda view: any(true(feature) for feature in _windows(view))


def _rolled(view: View) -> bool:
    """Whether the view keeps rollups: no calendar, no second key, and a window of several
    schedules."""
    windows = _windows(view)
    return not any(w.by or w.periods for w in windows) and any(
        (w.window or 0) > 4 * view.schedule for w in windows
    )


def _rolled_sums(view: View) -> bool:
    """Whether the view keeps rollups in which a tile that is held twice counts twice."""
    once = ("min", "max", "first", "last", "distinct")
    return _rolled(view) and any(
        (w.window or 0) > 4 * view.schedule and not any(part in w.function for part in once)
        for w in _windows(view)
    )


def _looking_back(form: Form) -> bool:
    """Whether it looks back over a column of its sources, and not also beyond bounds."""
    return (
        form.reach == "some"
        and form.shape.by_interval
        and not (form.shape.shift or form.shape.bounded)
    )


def _with(true: Callable[[Shape], object]) -> Callable[[Form], object]:
    return lambda form: true(form.shape)


def _together(form: Form) -> bool:
    return form.shape.by_interval and not form.apart and form.lookback is not None


def _one_shorter(match: re.Match[str]) -> str:
    return f"{match[1]} + to_microseconds({int(match[2]) - 1})"


STAGE = "stage"
HISTORY, TILES, TRAINING = (
    "insert the changed history",
    "insert the interval's tiles",
    "create the training set",
)

MUTANTS = (
    Mutant(
        "a window holds the tile that begins at its end",
        r"AND INTERVAL \d+ MICROSECONDS PRECEDING",
        "AND INTERVAL 0 MICROSECONDS PRECEDING",
        HISTORY,
        _any(lambda feature: feature.periods is None),
    ),
    Mutant(
        "a window loses the tile that begins at its start",
        r"BETWEEN INTERVAL (\d+) MICROSECONDS PRECEDING",
        _shorter,
        HISTORY,
        _any(lambda feature: feature.window is not None),
    ),
    Mutant(
        "an interval loses the row at its start",
        r">= TIMESTAMP",
        "> TIMESTAMP",
        "stage the interval's rows",
    ),
    Mutant(
        "a tile that leaves a window changes nothing",
        r", \(\d+\)(?=\) AS shifts)",
        "",
        HISTORY,
        _has(""),
    ),
    Mutant(
        "the newest change point is left out",
        r"moment <= head\.frontier",
        "moment < head.frontier",
        HISTORY,
    ),
    Mutant(
        "the settling delay is ignored",
        r"p\.moment \+ to_microseconds\(\d+\) AS valid_from",
        "p.moment AS valid_from",
        HISTORY,
        lambda view: view.delay > 0,
    ),
    Mutant(
        "an offset has the wrong sign",
        r"AND INTERVAL (\d+) MICROSECONDS PRECEDING",
        r"AND INTERVAL \1 MICROSECONDS FOLLOWING",
        HISTORY,
        _any(lambda feature: feature.offset),
    ),
    Mutant(
        "a series runs backwards",
        r"CAST\(\[(.*?)\] AS (\S+\[\])\)",
        r"CAST(list_reverse([\1]) AS \2)",
        HISTORY,
        _any(lambda feature: feature.steps),
    ),
    Mutant(
        "a calendar does not know its zone",
        r"(', TIMESTAMP '[^']+', )-?\d+\)",
        r"\g<1>0)",
        HISTORY,
        _any(lambda feature: feature.periods is not None and feature.periods.zone != "UTC"),
    ),
    Mutant(
        "the values of a second key run backwards",
        r"ORDER BY second\)",
        "ORDER BY second DESC)",
        HISTORY,
        _any(lambda feature: feature.by),
    ),
    Mutant(
        "a condition is ignored",
        r"CASE WHEN \([^\n]*\n\) THEN (\S+) END",
        r"\1",
        "stage",
        _any(lambda feature: feature.where),
    ),
    Mutant(
        "a null is counted",
        r'count\("\w+__input"\)',
        "count(*)",
        TILES,
        _any(lambda feature: feature.function == "count" and feature.column),
    ),
    Mutant(
        "variances are merged without their means",
        re.escape(
            ' + ((b)."mean" - (a)."mean") * ((b)."mean" - (a)."mean") * (a)."n" * (b)."n" / ((a)."n" + (b)."n")'
        ),
        "",
        HISTORY,
        _has("var", "stddev"),
    ),
    Mutant(
        "a sample's variance is divided by n",
        r'\."n" - 1\)',
        '."n")',
        HISTORY,
        _has("var_samp", "stddev_samp"),
    ),
    Mutant(
        "what is equal counts twice",
        r"list_distinct\(flatten\((\w+)\)\)",
        r"flatten(\1)",
        HISTORY,
        _has("count_distinct"),
    ),
    Mutant(
        "the first is the last",
        r"\[1\] AS",
        "[-1] AS",
        HISTORY,
        _any(lambda feature: feature.function == "first"),
    ),
    Mutant(
        "values of equal time are taken as they come",
        r'(ORDER BY event_time NULLS FIRST[^()]*?), ("\w+__input") NULLS FIRST',
        r"\1, \2 DESC NULLS FIRST",
        TILES,
        _has("first", "last"),
    ),
    Mutant(
        "text is ordered without its case",
        r'\b(min|max)\(("s__input")\)',
        r"arg_\1(\2, lower(\2))",
        TILES,
        _any(lambda feature: feature.function in ("min", "max") and feature.column == "s"),
    ),
    Mutant(
        "the oldest row is the newest",
        "ORDER BY event_time DESC",
        "ORDER BY event_time ASC",
        TILES,
        _rows,
    ),
    Mutant("ties go to the smallest", "DESC NULLS LAST", "ASC NULLS LAST", TILES, _rows),
    Mutant("ties go to nulls", "DESC NULLS LAST", "DESC NULLS FIRST", TILES, _rows),
    Mutant(
        "a tile is seen a schedule late",
        r"p\.moment >= a\.tile_start",
        "p.moment > a.tile_start",
        HISTORY,
        _rows,
    ),
    Mutant(
        "intervals that run again add up",
        r"\bWHERE tile_start",
        "WHERE FALSE AND tile_start",
        "remove the interval's tiles",
    ),
    Mutant(
        "a rollup holds only its second half",
        r"<= frontier(\s*\) AS whole)",
        r"< frontier\1",
        "rollups",
        _rolled,
    ),
    Mutant(
        "a window takes rollups of any length",
        r" AND c\.tile_end = t\.tile_end",
        "",
        HISTORY,
        _rolled,
    ),
    Mutant(
        "the next interval forgets a leaving tile",
        r"tile_start <= TIMESTAMP",
        "tile_start < TIMESTAMP",
        HISTORY,
        _rolled,
    ),
    Mutant(
        "rollups of replaced tiles stay",
        r"\bWHERE tile_start",
        "WHERE FALSE AND tile_start",
        "remove the rollups",
        _rolled_sums,
    ),
    Mutant("a join leaves out what is equal", r"plane_at >= ", "plane_at > ", TRAINING),
    Mutant(
        "from source, a window holds the tile that begins at its end",
        r"t\.moment < p\.moment",
        "t.moment <= p.moment",
        TRAINING,
        _any(lambda feature: feature.periods is None and not feature.by),
    ),
    Mutant(
        "from source, a window loses the tile that begins at its start",
        r"moment >= p(\.moment|lane__at) ",
        r"moment > p\1 ",
        TRAINING,
        _any(lambda feature: feature.window is not None and not feature.by),
    ),
    Mutant(
        "from source, tiles of one block are paired twice and those of the next are not",
        r" \+ to_microseconds\(\d+\) AS plane__block",
        " AS plane__block",
        TRAINING,
        _any(lambda feature: feature.window is not None and not feature.by),
    ),
    Mutant(
        "from source, a row is seen in its interval",
        r"p\.moment > r\.",
        "p.moment >= r.",
        TRAINING,
        _looked_up,
    ),
    Mutant(
        "from source, ties go to the smallest",
        "DESC NULLS LAST",
        "ASC NULLS LAST",
        TRAINING,
        _looked_up,
    ),
    Mutant(
        "time to live is not strict",
        r"plane_at < (\w+)\.expires_at",
        r"plane_at <= \1.expires_at",
        TRAINING,
        lambda view: view.ttl is not None,
    ),
    Mutant(
        "an interval sees all rows of the run",
        r" WHERE plane_interval = plane_each\.plane_interval",
        "",
        STAGE,
        of=_together,
    ),
    Mutant(
        "from source, an interval sees all rows",
        r" WHERE plane_interval = plane_each\.plane_interval",
        "",
        TRAINING,
        of=_together,
    ),
    Mutant(
        "an interval with a statement of its own sees what comes after it",
        r"""(events AS \(\n  SELECT \* FROM raw\.events WHERE "ts" >= TIMESTAMP '[^']*')"""
        r""" AND "ts" < TIMESTAMP '[^']*'""",
        r"\1",
        STAGE,
        of=lambda form: form.apart and form.shape.name in {"rank", "LIMIT"},
    ),
    Mutant(
        "a lookback is forgotten",
        r"(least\(time_bucket\(to_microseconds\(\d+\), CASE [^+]*? END) \+ to_microseconds\(\d+\)",
        r"\1",
        STAGE,
        of=lambda form: _together(form) and _looking_back(form),
    ),
    Mutant(
        "a lookback loses its first instant",
        r"(least\(time_bucket\(to_microseconds\(\d+\), CASE [^+]*? END) \+ to_microseconds\((\d+)\)",
        _one_shorter,
        STAGE,
        of=lambda form: _together(form) and _looking_back(form),
    ),
    Mutant(
        "what is beyond the bounds is kept",
        r'(CAST\("happened" AS TIMESTAMP\) END) IS NOT NULL AND',
        r"\1 IS NULL AND",
        STAGE,
        of=_with(lambda shape: shape.bounded),
    ),
    Mutant(
        "a row at a bound is beyond it",
        r'(CAST\("happened" AS TIMESTAMP\) END) < (CASE WHEN typeof\("ts"\).{1,260}? END - )',
        r"\1 <= \2",
        STAGE,
        of=_with(lambda shape: shape.bounded),
    ),
    Mutant(
        "a run reads no wider than its intervals",
        r"(TIMESTAMP '[^']*') - to_microseconds\(600000000\)",
        r"\1",
        STAGE,
        of=_with(lambda shape: shape.bounded and not shape.by_interval),
    ),
    Mutant(
        "a source is pruned to the interval",
        r"""("ts" <= TIMESTAMP '[^']*') \+ to_microseconds\(\d+\)""",
        r"\1",
        STAGE,
        of=_with(lambda shape: shape.shift),
    ),
)
NEXT, TAKEN = "insert the changed history", "update the head for the next interval"
NEXT_MUTANTS = (
    Mutant(
        "the next interval misses the last tile that moves in it",
        r"t\.tile_start <= (?=TIMESTAMP)",
        "t.tile_start < ",
        NEXT,
        _has(""),
    ),
    Mutant(
        "the next interval misses the first tile that moves in it",
        r"t\.tile_start > (TIMESTAMP '[^']*')",
        r"t.tile_start > \1 + to_days(1)",
        NEXT,
        _has(""),
    ),
    Mutant(
        "the first interval misses the tiles before the view's start",
        r" OR (TIMESTAMP '[^']*' = TIMESTAMP '[^']*' AND t\.tile_start < TIMESTAMP '[^']*')",
        "",
        NEXT,
        _has(""),
    ),
    Mutant("an interval before published ones is the next", r"later\.row_count = 0 AND", "", TAKEN),
)
"""Mistakes in the statements for the next interval; DuckDB has no such statements."""
