"""The mutants on the other warehouses: where the same mistake is made in their SQL, or why it can't
be made there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import msgspec

from controlplane.base.ports import Statement, Warehouse
from tests.engine import mutation, parity
from tests.engine.differential import INTERVALS
from tests.engine.mutants import HISTORY, MUTANTS, TILES, TRAINING
from tests.engine.mutation import Caught, Mutant, Replacement

CHANGES = "compute the changes of the history"
NO_ROLLUPS = "no rollups are kept there"
APART = "each interval has a statement of its own there"
NO_LOOK_UP = "rows are not looked up there: views without windows have tiles, too"
NAMED: Mapping[str, Mapping[str, str]] = {
    "snowflake": {HISTORY: f"{CHANGES}|{HISTORY}"},
    "databricks": {HISTORY: f"{CHANGES}|{HISTORY}", TILES: "replace the interval's tiles"},
}
"""The statements that do there what those of these names do in the embedded warehouse."""
_NO_SQL = re.compile(
    r"compilation error|not supported|unsupported|syntax|PARSE_|UNRESOLVED|MISMATCH|INVALID",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Edit:
    """What makes a mistake there: see `Mutant`."""

    pattern: str
    replacement: Replacement


def _backwards(match: re.Match[str]) -> str:
    """ARRAY_CONSTRUCT has its items in reverse order."""
    depth, items = 0, [""]
    for letter in match[2]:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    return f"{match[1]}{','.join(reversed(items))}{match[3]}"


_S_MEAN, _S_N = ("CAST(GET({}, '%s') AS FLOAT)" % name for name in ("mean", "n"))  # noqa: UP031 - {} is filled later
_D_MEAN, _D_N = ("({}).`%s`" % name for name in ("mean", "n"))  # noqa: UP031 - the same


def _between(mean: str, n: str) -> str:
    """What two variances have more when they are merged, in the words of a member's text."""
    apart = f"({mean.format('b')} - {mean.format('a')})"
    both = f"{n.format('a')} * {n.format('b')} / ({n.format('a')} + {n.format('b')})"
    return re.escape(f" + {apart} * {apart} * {both}")


_S_AT, _D_AT = r"CAST\('[^']*' AS TIMESTAMP_NTZ\(6\)\)", r"TIMESTAMP '[^']*'"
_S_BACK = rf'(others AS \(\n  SELECT \* FROM raw\.events WHERE "TS" >=) DATEADD\(MICROSECOND, -(\d+), ({_S_AT})\)'
_D_BACK = (
    r"(others AS \(\n  SELECT \* FROM raw\.events WHERE `ts` >=) "
    rf"timestamp_micros\(unix_micros\(({_D_AT})\) \+ -(\d+)\)"
)
_S_SINCE = r"DATEADD\(MICROSECOND, -\d+, p(?:\.moment|lane__at)\)"
_D_SINCE = r"timestamp_micros\(unix_micros\(p(?:\.moment|lane__at)\) \+ -\d+\)"
ELSEWHERE: Mapping[str, Mapping[str, Edit | str]] = {
    "snowflake": {
        "a window holds the tile that begins at its end": Edit(
            r"t\.moment < p\.moment", "t.moment <= p.moment"
        ),
        "a window loses the tile that begins at its start": Edit(
            rf"moment >= (?={_S_SINCE})", "moment > "
        ),
        "an interval loses the row at its start": Edit(r">= CAST\('", "> CAST('"),
        "the settling delay is ignored": Edit(
            r"DATEADD\(MICROSECOND, \d+, p\.moment\) AS valid_from", "p.moment AS valid_from"
        ),
        "an offset has the wrong sign": Edit(
            r"(?<=moment < DATEADD\(MICROSECOND, )-(?=\d+, plane__at\))",
            "",
        ),
        "a series runs backwards": Edit(
            r'(    CAST\(ARRAY_CONSTRUCT\()([^\n]*)(\) AS ARRAY\([^\n]*\)\) AS "W\d+_[^\n]*_X\d)',
            _backwards,
        ),
        "a calendar does not know its zone": Edit(
            r"(AS TIMESTAMP_NTZ\(6\)\), )-?\d+\)", r"\g<1>0)"
        ),
        "a null is counted": Edit(r'count\("\w+__INPUT"\)', "count(*)"),
        "variances are merged without their means": Edit(_between(_S_MEAN, _S_N), ""),
        "a sample's variance is divided by n": Edit(r"'n'\) AS FLOAT\) - 1\)", "'n') AS FLOAT))"),
        "what is equal counts twice": Edit(r"ARRAY_DISTINCT\((ARRAY_FLATTEN\(m\d+\))\)", r"\1"),
        "the first is the last": Edit(
            r"GET\((ARRAY_FLATTEN\(m\d+\)), 1 - 1\)", r"GET(\1, ARRAY_SIZE(\1) - 1)"
        ),
        "values of equal time are taken as they come": Edit(
            r'(ORDER BY event_time NULLS FIRST[^()]*?), ("\w+__INPUT") NULLS FIRST',
            r"\1, \2 DESC NULLS FIRST",
        ),
        "text is ordered without its case": Edit(
            r'\b(min|max)\(("S__INPUT")\)', r"\1_by(\2, lower(\2))"
        ),
        "a tile is seen a schedule late": Edit(
            r"p\.moment >= r\.plane__since", "p.moment > r.plane__since"
        ),
        "a rollup holds only its second half": NO_ROLLUPS,
        "a window takes rollups of any length": NO_ROLLUPS,
        "the next interval forgets a leaving tile": NO_ROLLUPS,
        "rollups of replaced tiles stay": NO_ROLLUPS,
        "from source, a window loses the tile that begins at its start": Edit(
            rf"moment >= (?={_S_SINCE})", "moment > "
        ),
        "from source, tiles of one block are paired twice and those of the next are not": Edit(
            r"DATEADD\(MICROSECOND, \d+, (DATEADD\(MICROSECOND, -MOD\([^\n]*)\) AS plane__block",
            r"\1 AS plane__block",
        ),
        "from source, a row is seen in its interval": NO_LOOK_UP,
        "an interval sees all rows of the run": APART,
        "from source, an interval sees all rows": "it is refused there",
        "an interval with a statement of its own sees what comes after it": Edit(
            rf'(events AS \(\n  SELECT \* FROM raw\.events WHERE "TS" >= {_S_AT}) AND "TS" < {_S_AT}',
            r"\1",
        ),
        "a lookback is forgotten": Edit(_S_BACK, r"\1 \3"),
        "a lookback loses its first instant": Edit(_S_BACK, r"\1 DATEADD(MICROSECOND, 1 - \2, \3)"),
        "what is beyond the bounds is kept": Edit(
            r"""('UTC', "HAPPENED"\) AS TIMESTAMP_NTZ\(6\)\)) IS NOT NULL AND""", r"\1 IS NULL AND"
        ),
        "a row at a bound is beyond it": Edit(
            r"""('UTC', "HAPPENED"\) AS TIMESTAMP_NTZ\(6\)\)) < (DATEADD\(MICROSECOND, -)""",
            r"\1 <= \2",
        ),
        "a run reads no wider than its intervals": Edit(
            rf"DATEADD\(MICROSECOND, -600000000, ({_S_AT})\)", r"\1"
        ),
        "a source is pruned to the interval": Edit(
            rf'("TS" <=) DATEADD\(MICROSECOND, \d+, ({_S_AT})\)', r"\1 \2"
        ),
    },
    "databricks": {
        "a window holds the tile that begins at its end": Edit(
            r"t\.moment < p\.moment", "t.moment <= p.moment"
        ),
        "a window loses the tile that begins at its start": Edit(
            rf"moment >= (?={_D_SINCE})", "moment > "
        ),
        "the settling delay is ignored": Edit(
            r"timestamp_micros\(unix_micros\(p\.moment\) \+ \d+\) AS valid_from",
            "p.moment AS valid_from",
        ),
        "an offset has the wrong sign": Edit(
            r"(?<=moment < timestamp_micros\(unix_micros\(plane__at\) \+ )-(?=\d)",
            "",
        ),
        "a series runs backwards": Edit(
            r"(    CAST\()(array\([^\n]*\))( AS ARRAY<[^\n]*>\) AS `w\d+_[^\n]*_x\d)",
            r"\1reverse(\2)\3",
        ),
        "the values of a second key run backwards": Edit(
            r"sort_array\((collect_list\(named_struct\('o0', second, [^\n]*?\)\) FILTER \(WHERE [^()\n]*\))\)",
            r"sort_array(\1, FALSE)",
        ),
        "a null is counted": Edit(r"count\(`\w+__input`\)", "count(*)"),
        "variances are merged without their means": Edit(_between(_D_MEAN, _D_N), ""),
        "a sample's variance is divided by n": Edit(r"\.`n` - 1\)", ".`n`)"),
        "what is equal counts twice": Edit(r"array_distinct\((flatten\(m\d+\))\)", r"\1"),
        "the first is the last": Edit(
            r"get\((flatten\(m\d+\)), CAST\(1 AS INT\) - 1\)", r"get(reverse(\1), 0)"
        ),
        "values of equal time are taken as they come": Edit(
            r"(?<='o\d', )(`\w+__input`)(?=, 'x')", r"md5(CAST(\1 AS STRING))"
        ),
        "text is ordered without its case": Edit(
            r"\b(min|max)\((`s__input`)\)", r"\1_by(\2, lower(\2))"
        ),
        "a tile is seen a schedule late": Edit(
            "ORDER BY moment, plane__asked ROWS", "ORDER BY moment, plane__asked DESC ROWS"
        ),
        "intervals that run again add up": "one statement replaces the interval's tiles there",
        "a rollup holds only its second half": NO_ROLLUPS,
        "a window takes rollups of any length": NO_ROLLUPS,
        "the next interval forgets a leaving tile": NO_ROLLUPS,
        "rollups of replaced tiles stay": NO_ROLLUPS,
        "a join leaves out what is equal": Edit(
            "ORDER BY plane_at, plane__asked ROWS", "ORDER BY plane_at, plane__asked DESC ROWS"
        ),
        "from source, a window loses the tile that begins at its start": Edit(
            rf"moment >= (?={_D_SINCE})", "moment > "
        ),
        "from source, tiles of one block are paired twice and those of the next are not": Edit(
            r"timestamp_micros\(unix_micros\((timestamp_micros\([^\n]*\))\) \+ \d+\) AS plane__block",
            r"\1 AS plane__block",
        ),
        "from source, a row is seen in its interval": NO_LOOK_UP,
        "an interval sees all rows of the run": APART,
        "from source, an interval sees all rows": "it is refused there",
        "an interval with a statement of its own sees what comes after it": Edit(
            rf"(events AS \(\n  SELECT \* FROM raw\.events WHERE `ts` >= {_D_AT}) AND `ts` < {_D_AT}",
            r"\1",
        ),
        "a lookback is forgotten": Edit(_D_BACK, r"\1 \2"),
        "a lookback loses its first instant": Edit(
            _D_BACK, r"\1 timestamp_micros(unix_micros(\2) + 1 - \3)"
        ),
        "what is beyond the bounds is kept": Edit(
            r"(CAST\(`happened` AS TIMESTAMP\)) IS NOT NULL AND", r"\1 IS NULL AND"
        ),
        "a row at a bound is beyond it": Edit(
            r"(CAST\(`happened` AS TIMESTAMP\)) < (timestamp_micros\(unix_micros\(CAST\(`ts`)",
            r"\1 <= \2",
        ),
        "a run reads no wider than its intervals": Edit(
            rf"timestamp_micros\(unix_micros\(({_D_AT})\) \+ -600000000\)", r"\1"
        ),
        "a source is pruned to the interval": Edit(
            rf"(`ts` <=) timestamp_micros\(unix_micros\(({_D_AT})\) \+ \d+\)", r"\1 \2"
        ),
    },
}


def on(dialect: str, mutant: Mutant) -> Mutant:
    """The mutant in a dialect's SQL.

    One that has no place there stays as it is, and must change nothing.
    """
    edit = ELSEWHERE[dialect].get(mutant.name)
    there = replace(mutant, statement=NAMED[dialect].get(mutant.statement, mutant.statement))
    return (
        replace(there, pattern=edit.pattern, replacement=edit.replacement)
        if isinstance(edit, Edit)
        else there
    )


def reason(dialect: str, mutant: Mutant) -> str:
    """Why a mutant has no place in a dialect's SQL; empty where it has one."""
    found = ELSEWHERE.get(dialect, {}).get(mutant.name, "")
    return found if isinstance(found, str) else ""


def out_of_place(dialect: str) -> list[Mutant]:
    """The mutants that have no place in a dialect's SQL."""
    return [on(dialect, mutant) for mutant in MUTANTS if reason(dialect, mutant)]


class Edited:
    """A warehouse that runs something else than it was given.

    `changes` counts the statements that it changed.

    Raises:
        InPlace: a mutant would change a statement in which it has no place.
    """

    def __init__(self, warehouse: Warehouse, alter: Callable[[Statement], str]) -> None:
        self._warehouse = warehouse
        self._alter = alter
        self._strangers = out_of_place(warehouse.dialect)
        self.changes = 0

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`."""
        check_places(self._strangers, statements)
        altered = [msgspec.structs.replace(one, sql=self._alter(one)) for one in statements]
        self.changes += sum(a.sql != b.sql for a, b in zip(altered, statements, strict=True))
        return self._warehouse.execute(altered, tag=tag, atomic=atomic)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)


class InPlace(Exception):
    """A mutant has a place that it is said not to have."""


def check_places(strangers: Sequence[Mutant], statements: Sequence[Statement]) -> None:
    """Fail where one of these mutants changes a statement."""
    for mutant in strangers:
        for statement in statements:
            if mutant.alter(statement) != statement.sql:
                raise InPlace(f"{mutant.name!r} has a place now, in: {statement.name}")


def hunt(mutant: Mutant, most: int, seed: int, warehouse: Warehouse) -> Caught | None:
    """Make the mistake in another warehouse, first in the case that notices it in the embedded
    one."""
    known = mutation.hunt(mutant, 100, seed)
    numbers = chain([known.number] if known else [], mutation.telling(mutant, seed))
    altered = on(warehouse.dialect, mutant)

    def attempt(number: int) -> mutation.Said | None:
        edited = Edited(warehouse, altered.alter)
        found = parity.play(number, edited, INTERVALS, from_source=mutant.statement == TRAINING)
        if found.refused:
            return None
        first = next(iter(found.differing), "")
        if found.broken and _NO_SQL.search(first):
            raise AssertionError(f"{mutant.name}: that is no SQL: {first}")
        return mutation.Said(first, edited.changes)

    return mutation.search(attempt, numbers, most)
