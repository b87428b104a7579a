"""One random case after the other against the oracle, in one warehouse.

What is compared is counted.

A case is a number: its definition, its rows, the order of its runs and the instants of its reads
all follow from it. A new way to read values is one more entry of `MODES`, and shows in the coverage
by itself; so does a kind of window.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec

from connectors.duckdb.warehouse import DuckDBWarehouse, connect
from controlplane.base.ports import Statement, Warehouse
from controlplane.errors import CheckFailed, PlaneError, Problems
from controlplane.manifest.specs import IntervalByInterval
from controlplane.sql.rows import evaluated_together
from controlplane.verify.oracle import Row, RowFeature, View, WindowFeature, same
from tests.engine import cases
from tests.engine.cases import Case
from tests.engine.engines import empty, raw, run
from tests.engine.rig import Reader, Rig

INTERVALS = (1, 2, 3, 4, 5, 6)
SEEDS = 1_000_000_000
"""Numbers of cases that one seed has: those from seed * SEEDS on."""
Key = tuple[Any, ...]
Look = tuple[Key, int]
Values = Mapping[str, Any]
Mode = Callable[[Rig, Case, Sequence[Look]], Sequence[Values | None]]
"""For each look the values that a way of reading gives; None where it can't be asked."""


def _table(rig: Rig, case: Case, looks: Sequence[Look]) -> Sequence[Values | None]:
    reader = Reader(rig.table(), case.view.keys, "valid_to")
    return [reader.at(key, at) or case.view.nothing() for key, at in looks]


def _history(rig: Rig, case: Case, looks: Sequence[Look]) -> Sequence[Values | None]:
    reader = Reader(rig.table("history"), case.view.keys, "expires_at")
    return [reader.at(key, at) or case.view.nothing() for key, at in looks]


def _latest(rig: Rig, case: Case, looks: Sequence[Look]) -> Sequence[Values | None]:
    rows = [row for row in rig.table("latest") if not row["is_deleted"]]
    if len({tuple(row[k] for k in case.view.keys) for row in rows}) != len(rows):
        raise AssertionError("a key has two newest rows")
    reader = Reader(rows, case.view.keys, "expires_at")
    newest = case.end + case.view.delay
    return [
        (reader.at(key, at) or case.view.nothing()) if at >= newest else None for key, at in looks
    ]


def _training_set(rig: Rig, _: Case, looks: Sequence[Look]) -> Sequence[Values | None]:
    return rig.training_set(looks)


def _from_source(rig: Rig, _: Case, looks: Sequence[Look]) -> Sequence[Values | None]:
    if evaluation(rig) == APART:
        check_refused(rig, looks)
        return [None] * len(looks)
    return rig.training_set(looks, from_source=True)


def check_refused(rig: Rig, looks: Sequence[Look]) -> None:
    """Check that training from sources is refused with the reason where each interval has a
    statement of its own."""
    assert isinstance(rig.view.evaluation, IntervalByInterval)
    try:
        rig.training_set(looks, from_source=True)
    except Problems as error:
        reason = f"is computed interval by interval ({rig.view.evaluation.construct})"
        if reason not in str(error):
            raise AssertionError(
                f"from source, it is refused for another reason: {error}"
            ) from None
    else:
        raise AssertionError("a training set from sources is not refused")


FROM_SOURCE = "from source"
MODES: dict[str, Mode] = {
    "table": _table,
    "history": _history,
    "latest": _latest,
    "training set": _training_set,
    FROM_SOURCE: _from_source,
}
SELDOM = {FROM_SOURCE: 3}
"""Ways of reading that take as long as all others together: one in so many cases is read so."""


@dataclass(frozen=True)
class Mismatch:
    """One value that is not the oracle's."""

    mode: str
    key: Key
    at: int
    feature: str
    told: Any
    expected: Any


@dataclass
class Outcome:
    """What a case gave: comparisons by (function, window, mode, whether the value was null), and
    what was wrong.

    `shapes` are the values that are not null by (kind of SQL, lookback, evaluation, mode), and
    under the mode `REFUSED` the cases whose training from sources was refused as it must be.
    `refused` says why there is nothing to compare; `broken` is an error of the engine.
    """

    number: int
    counts: Counter[tuple[str, str, str, bool]] = field(default_factory=Counter)
    shapes: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    refused: str = ""
    broken: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the engine does not say what the docs say."""
        return bool(self.mismatches or self.broken)


def labels(feature: RowFeature | WindowFeature) -> tuple[str, str]:
    """Function and kind of window: what the coverage counts."""
    if isinstance(feature, RowFeature):
        return "(row feature)", "-"
    kinds = {
        "calendar": feature.periods is not None,
        "series": bool(feature.steps),
        "lifetime": feature.window is None,
        "offset": bool(feature.offset),
        "sliding": True,
    }
    kind = next(kind for kind, true in kinds.items() if true)
    return feature.function, f"{kind} by" if feature.by else kind


ROW_BY_ROW, TOGETHER, APART = "row by row", "together", "apart"
REFUSED = "from source, refused"


def evaluation(rig: Rig) -> str:
    """How the rows of a view are computed: over any range, or its intervals in one statement or in
    one each."""
    if not isinstance(rig.view.evaluation, IntervalByInterval):
        return ROW_BY_ROW
    return TOGETHER if evaluated_together(rig.manifest, rig.view, rig.d) else APART


def rig_of(case: Case, warehouse: Warehouse) -> Rig:
    """The view of a case in a warehouse, without rows.

    Raises:
        AssertionError: the product takes a view for row by row that is not, or the other way round.
    """
    rig = Rig(case.definition, cases.COLUMNS, warehouse=warehouse)
    if (evaluation(rig) != ROW_BY_ROW) != case.form.shape.by_interval:
        raise AssertionError(f"a view is computed {evaluation(rig)}: {case.form.shape.sql}")
    if case.form.apart:
        rig.take_apart()
    return rig


class Altered(DuckDBWarehouse):
    """A warehouse that runs something else than it was given.

    `changes` counts the statements that it changed.
    """

    def __init__(self, alter: Callable[[Statement], str]) -> None:
        opened = connect(path=":memory:")
        super().__init__(raw(opened), ":memory:")
        self._alter = alter
        self.changes = 0

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`."""
        altered = [msgspec.structs.replace(one, sql=self._alter(one)) for one in statements]
        self.changes += sum(a.sql != b.sql for a, b in zip(altered, statements, strict=True))
        return super().execute(altered, tag=tag, atomic=atomic)


class Lab:
    """A warehouse in which one case is played after the other; the embedded one unless given."""

    def __init__(self, warehouse: Warehouse | None = None) -> None:
        self.warehouse = warehouse or connect(path=":memory:")
        if isinstance(self.warehouse, DuckDBWarehouse):
            # For tables of a few rows.
            for setting in (
                "threads = 1",
                "enable_progress_bar = false",
            ):
                run(self.warehouse, f"SET {setting}")

    def play(self, number: int) -> Outcome:
        """Compute the case of a number, and compare every value with the oracle's."""
        case = cases.case_of(number, 1.0, INTERVALS)
        outcome = Outcome(number)
        try:
            with _emptied(self.warehouse):
                rig = rig_of(case, self.warehouse)
                compute(rig, case, random.Random(f"runs of {number}"))
                compare(rig, case, random.Random(f"reads of {number}"), outcome)
        except (CheckFailed, Problems) as error:
            outcome.refused = str(error)
        except (PlaneError, AssertionError) as error:
            outcome.broken = f"{type(error).__name__}: {error}"
        return outcome

    def close(self) -> None:
        """Close the warehouse."""
        self.warehouse.close()


@contextmanager
def _emptied(warehouse: Warehouse) -> Iterator[None]:
    """Leave the warehouse as it was found: empty."""
    try:
        yield
    finally:
        empty(warehouse)


def compute(rig: Rig, case: Case, choice: random.Random) -> None:
    """All intervals, at once, in pieces of any order or one after the other.

    Now and then some rows come late, and old intervals run again.
    """
    view = case.view
    late = (
        {number for number in range(len(case.rows)) if choice.random() < 0.15}
        if choice.random() < 0.4
        else set()
    )
    rig.add(cases.loaded([row for number, row in enumerate(case.rows) if number not in late]))
    cuts = choice.sample(
        range(1, case.intervals), min(choice.choice([0, 0, 0, 0, 1, 2]), case.intervals - 1)
    )
    pieces = list(pairwise([0, *sorted(cuts), case.intervals]))
    how = choice.random()
    if how < 0.4:
        choice.shuffle(pieces)
    elif how < 0.8:  # as a scheduler does it: one after the other
        pieces = list(pairwise(range(case.intervals + 1)))
    rows = [case.rows[number] for number in late]
    # Between two pieces, so that the next one reads what the late rows have replaced; or at the end.
    when = choice.randint(min(1, len(pieces) - 1), len(pieces))
    for number, (first, last) in enumerate([*pieces, (0, 0)]):
        if number == when:
            rig.add(cases.loaded(rows))
            _again(rig, case, rows)
        if first < last:
            rig.materialize(view.start + first * view.schedule, view.start + last * view.schedule)


def _again(rig: Rig, case: Case, rows: Sequence[Row]) -> None:
    """Compute the intervals again that see these rows, and what lies between them."""
    view = case.view
    if touched := {number for row in rows for number in case.touched(row)}:
        first, last = min(touched), max(touched) + 1
        rig.materialize(view.start + first * view.schedule, view.start + last * view.schedule)


def compare(rig: Rig, case: Case, choice: random.Random, outcome: Outcome) -> None:
    """Look in every mode, at every key and some instants."""
    view, computed = case.view, evaluation(rig)
    tolerance = {
        feature.name: cases.scale(view, case.returned, feature) for feature in view.features
    }
    told = {feature.name: labels(feature) for feature in view.features}
    looks = list(_looks(case, choice))
    expected = [view.value(case.returned, key, at) for key, at in looks]
    for mode, read in MODES.items():
        if outcome.number % SELDOM.get(mode, 1):
            continue
        if mode == FROM_SOURCE and computed == APART:
            outcome.shapes[case.form.shape.name, case.form.reach, computed, REFUSED] += 1
        for (key, at), values, found in zip(looks, expected, read(rig, case, looks), strict=True):
            if found is None:
                continue
            for name, value in values.items():
                outcome.counts[*told[name], mode, value is None] += 1
                outcome.shapes[case.form.shape.name, case.form.reach, computed, mode] += (
                    value is not None
                )
                if not same(found[name], value, tolerance[name]):
                    outcome.mismatches.append(Mismatch(mode, key, at, name, found[name], value))


def _looks(case: Case, choice: random.Random) -> Iterator[Look]:
    """Every key of the data, those with a null in them included, and one that is not there.

    Few looks at the latter.
    """
    unknown = tuple({"k": "nobody", "n": -99}[k] for k in case.view.keys)
    for key in [
        *dict.fromkeys(tuple(row[k] for k in case.view.keys) for row in case.rows),
        unknown,
    ]:
        found = list(instants(case, choice))
        yield from ((key, at) for at in (found[-1:] if None in key or key == unknown else found))


def instants(case: Case, choice: random.Random) -> Iterator[int]:
    """Where to look: half where values may change, or a microsecond beside, and half anywhere."""
    view = case.view
    newest = case.end + view.delay
    # What is known ends where the first interval that is not computed would be seen.
    first, last = view.start + view.schedule + view.delay, newest + view.schedule - 1
    points = [first + number * view.schedule for number in range(case.intervals)]
    near = [
        point + beside
        for point in choice.sample(points, min(3, len(points)))
        for beside in (0, 1, -1)
    ]
    yield from near
    yield choice.choice([view.start - 1, view.start, choice.randrange(view.start, first)])
    yield from (choice.randrange(first, last + 1) for _ in near[3:])
    yield from (last, newest, choice.randrange(newest, last + 1))


def relevant(view: View, rows: Sequence[Row], key: Key) -> list[Row]:
    """The rows of a key, in order of time."""
    own = [row for row in rows if tuple(row[k] for k in view.keys) == key]
    return (
        own
        if view.time is None
        else sorted(own, key=lambda row: (row["ts"] is not None, row["ts"]))
    )
