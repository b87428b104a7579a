"""Asks the questions of every view, compares the answers, and explains what differs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.progress import Progress
from controlplane.base.types import from_micros, micros
from controlplane.control import ledger
from controlplane.errors import CheckFailed, PlaneError, SettingsError, TransientError
from controlplane.manifest.specs import Manifest, StaticViewSpec, ViewSpec
from controlplane.release.program import build
from controlplane.sql.dialects import dialect
from controlplane.sql.range_errors import explained
from controlplane.verify import explain, questions, ways
from controlplane.verify.coverage import Coverage
from controlplane.verify.evaluated import Evaluated
from controlplane.verify.explain import Difference
from controlplane.verify.oracle import Near, Row, RowFeature, WindowFeature, same
from controlplane.verify.questions import PER_KEY
from controlplane.verify.realtime import Open, compare_service
from controlplane.verify.report import VALUE, WAYS, Mismatch, Report, ViewReport, summed
from controlplane.verify.told import Places, Told, Values, named
from controlplane.verify.truth import TIME, Key, Question, Truth
from controlplane.verify.values import instant

CHUNK = 50
"""Entities that are asked about at once."""
KEPT = 50
"""Differences of a view that are explained; the others are counted."""
_EXACT_DISTINCT = 511
_SKETCH = 0.25  # far beyond what a sketch of 512 hashes is off: 4.4 % is one standard deviation

_TOLD_TIMES = 20

OnProgress = Callable[[Progress], None]
Agreement = Callable[[Any, Any], bool]


def verify(
    manifest: Manifest,
    warehouse: Warehouse,
    store: Callable[[], OnlineStore | None],
    calculator: Open,
    *,
    now: Callable[[], datetime],
    views: Sequence[str] = (),
    cases: int = 200,
    seed: int | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Report:
    """Compare what is computed with brute force over the raw rows; nothing is written.

    Args:
        manifest: what is deployed.
        warehouse: its tables and sources.
        store: opens the online store, or gives None where there is none.
        calculator: gets ready what a reader computes with.
        now: the environment's now.
        views: names of feature views; all, and the calculations of all services, unless given.
        cases: how many entities and instants to ask each view about, and rows each service.
        seed: which ones; any unless given.
        on_progress: told how far it is.

    Raises:
        PlaneError: there is no such view, or the warehouse refuses.
    """
    if cases < 1:
        raise PlaneError(f"{cases} cases can't be looked at", hint="give --cases 1 or more")
    chosen = [manifest.view(name) for name in views] or list(manifest.views)
    seed = random.SystemRandom().randrange(1, 1_000_000) if seed is None else seed
    opened, problem = _opened(store)
    found = []
    for view in chosen:
        kept = opened if view.online else None
        try:
            with explained(f"feature view {view.name!r}", view.location):
                checked = _checked(manifest, view, warehouse, seed, cases, kept, now, on_progress)
        except CheckFailed as error:
            if len(chosen) == 1:
                raise
            # No run would publish its rows. That is no reason to leave the other views out.
            checked = ViewReport(view.name, refused=str(error))
        if problem and view.online:
            checked.notes.append(problem)
        found.append(checked)
    calculated = [service for service in manifest.services if service.calculations and not views]
    services = [
        compare_service(manifest, s, warehouse, calculator, cases=cases, seed=seed)
        for s in calculated
    ]
    return summed(seed, found, services)


def _opened(store: Callable[[], OnlineStore | None]) -> tuple[OnlineStore | None, str]:
    try:
        return store(), ""
    except SettingsError:
        raise
    except TransientError as error:
        return None, f"online: the store can't be reached, so it was not compared: {error.message}"
    except PlaneError as error:  # its embedded server can't be started, for one
        return (
            None,
            f"online: the store can't be looked at, so it was not compared: {error.message}",
        )


def _checked(
    manifest: Manifest,
    view: ViewSpec,
    warehouse: Warehouse,
    seed: int,
    cases: int,
    store: OnlineStore | None,
    now: Callable[[], datetime],
    on_progress: OnProgress,
) -> ViewReport:
    head = ledger.head(warehouse, build(manifest, view).head)
    if head.watermark <= view.start:
        on_progress(Progress(view.name, "compare", 0, cases))
        return ViewReport(view.name, notes=["nothing is computed yet; run `plane run`"])
    checked = _View(manifest, view, warehouse, seed, head.watermark)
    on_progress(Progress(view.name, "evaluate", 0, cases))
    checked.look_at_intervals()
    checked.look(cases, store, now, on_progress)
    return checked.report


class _View:
    """One view that is looked at; what is found is in `report`."""

    def __init__(
        self,
        manifest: Manifest,
        view: ViewSpec,
        warehouse: Warehouse,
        seed: int,
        frontier: datetime,
    ) -> None:
        self.report = ViewReport(view.name)
        self._spec = view
        self._seed = seed
        self._warehouse = warehouse
        self._d = dialect(manifest.dialect)
        self._frontier = micros(frontier)
        evaluated = Evaluated(manifest, view, frontier)
        self._truth = Truth(manifest, view, evaluated)
        self._coverage = Coverage(self._truth.view, evaluated)
        self._places = Places(manifest, view, self._truth, warehouse)
        self._fixed_now = manifest.now is not None
        self._features = {feature.name: feature for feature in self._truth.view.features}
        self._known: tuple[Question, Mapping[str, Agreement]] | None = None
        self._ways_differ = False
        self._timed = {view.timestamp}
        self._timed |= {one.name for one in view.attributes if one.type == "timestamp"}
        self._timed |= {one.column for one in view.aggregates if one.column_type == "timestamp"}

    def look_at_intervals(self) -> None:
        """Evaluate some intervals alone and among others, where there are these two ways."""
        if isinstance(self._spec, StaticViewSpec) or self._truth.evaluated.apart:
            return
        intervals = ways.sampled(self._truth, self._warehouse, self._d, self._seed)
        differing = ways.differing(self._truth, self._warehouse, self._d, intervals)
        self.report.intervals = len(intervals)
        self.report.mismatch_count += len(differing)
        self._ways_differ = bool(differing)
        for one in differing[: ways.KEPT]:
            self._note_ways(one)

    def _note_ways(self, one: ways.Differing) -> None:
        at_once, alone = (
            [self._shown(row, None) for row in rows[: explain.SHOWN]]
            for rows in (one.at_once, one.alone)
        )
        question = Question(one.key, micros(one.interval.start), None)
        count = len(one.at_once) + len(one.alone)
        self._report(WAYS, question, "*", (at_once, alone), [], count, ways.hint(self._spec), WAYS)

    def look(
        self,
        cases: int,
        store: OnlineStore | None,
        now: Callable[[], datetime],
        on_progress: OnProgress,
    ) -> None:
        """Ask about this many cases."""
        told = -1

        def on_case() -> None:
            nonlocal told
            if self.report.cases * _TOLD_TIMES // cases > told:
                told = self.report.cases * _TOLD_TIMES // cases
                on_progress(Progress(self._spec.name, "compare", self.report.cases, cases))

        on_case()
        if not self._places.shown:
            self.report.notes.append(
                "users' views and models still read an earlier version: these were not compared"
            )
            store = None
        last = self._last
        self.report.notes += self._coverage.notes(last)
        if len(self._coverage.undecided(last)) == len(self._features):
            return
        count = math.ceil(cases / PER_KEY)
        keys = questions.sample(
            self._truth, self._warehouse, self._d, self._places.history, count, self._seed
        )
        if not keys:
            self.report.notes.append(
                "there is no entity, neither in the raw rows nor in the history"
            )
        left, each = cases, max(PER_KEY, math.ceil(cases / max(len(keys), 1)))
        for place in range(0, len(keys), CHUNK):
            asked = self._questions(keys[place : place + CHUNK], each)
            asked = dict(list(asked.items())[:left])
            left -= len(asked)
            self._chunk(asked, store, now, on_case)
        on_progress(Progress(self._spec.name, "done", self.report.cases, self.report.cases))

    @property
    def _last(self) -> int:
        """The last instant that is asked about: then the first interval that is not computed would
        be seen."""
        view = self._truth.view
        return self._frontier + view.delay + view.schedule - 1

    def _questions(self, keys: Sequence[Key], each: int) -> dict[int, Question]:
        """What to ask about some entities: the newest values, and values at `each` - 1 other
        instants."""
        view = self._truth.view
        choice = random.Random(f"{self._seed} {self._spec.name} {keys}")  # noqa: S311 - a seed asks the same questions
        newest, first, last = self._frontier + view.delay, self._coverage.first, self._last
        times = questions.events(self._truth, self._warehouse, self._d, keys, each, self._seed)
        found: list[Question] = []
        for key in keys:
            instants = questions.instants(view, times[key], each - 1, first, last, choice)
            found.append(Question(key, newest, questions.since(view, newest), newest=True))
            found += [Question(key, at, questions.since(view, at)) for at in instants]
        numbered = dict(enumerate(found))
        heavy = questions.too_many(self._truth, self._warehouse, self._d, numbered)
        if heavy:
            text = (
                f"{len(heavy)} entities with more than {questions.MOST_ROWS:,} raw rows that count"
                " were left out"
            )
            self.report.notes.append(text)
        return {
            number: question for number, question in numbered.items() if question.key not in heavy
        }

    def _chunk(
        self,
        asked: Mapping[int, Question],
        store: OnlineStore | None,
        now: Callable[[], datetime],
        on_case: Callable[[], None],
    ) -> None:
        if not asked:
            return
        told = self._places.read(asked)
        moment = now()
        newest = {number: question for number, question in asked.items() if question.newest}
        if store is not None and newest:
            online = self._places.online(store, newest, lambda: moment)
            if isinstance(online, Told):
                told.append(online)
            elif online not in self.report.notes:
                self.report.notes.append(online)
        differences: list[Difference] = []
        for number, rows in self._with_rows(asked):
            question = asked[number]
            if differences and differences[0].question.key != question.key:
                self._explain(differences)
                differences = []
            expected = self._truth.view.value(rows, question.key, question.at)
            for one in told:
                if number in one.values and one.place == "online":
                    differences += self._online(question, rows, one.values[number], micros(moment))
                elif number in one.values:
                    differences += self._compare(
                        one.place, question, rows, expected, one.values[number]
                    )
                if number in one.doubled:
                    self._doubled(one.place, question)
            self.report.cases += 1
            on_case()
        self._explain(differences)

    def _with_rows(self, asked: Mapping[int, Question]) -> Iterator[tuple[int, list[Row]]]:
        """Every question in order with its raw rows, those that have none too."""
        found = self._truth.rows(self._warehouse, asked)
        number, rows = next(found, (None, []))
        for expected in asked:
            if expected == number:
                yield expected, rows
                number, rows = next(found, (None, []))
            else:
                yield expected, []

    def _online(
        self, question: Question, rows: Sequence[Row], told: Values | None, now: int
    ) -> list[Difference]:
        """Online are the values as of what is computed, and what has expired by now is gone."""
        view = self._truth.view
        if view.ttl is not None:
            if told is None and self._fixed_now:
                # The environment's now stands still, but what was synced expires by the wall clock.
                return []
            question = replace(question, at=max(now, question.at))
            rows = [row for row in rows if view.time is None or row[TIME] < self._frontier]
        return self._compare(
            "online", question, rows, view.value(rows, question.key, question.at), told
        )

    def _compare(
        self,
        place: str,
        question: Question,
        rows: Sequence[Row],
        expected: Values,
        told: Values | None,
    ) -> list[Difference]:
        told = self._truth.view.nothing() if told is None else told
        agreements = self._agreements(question, rows)
        self.report.compared[place] = self.report.compared.get(place, 0) + len(agreements)
        self.report.nulls += sum(expected[name] is None for name in agreements)
        agrees = partial(_all_agree, agreements, told)
        return [
            Difference(place, question, rows, self._features[name], told, expected, agrees)
            for name, agreement in agreements.items()
            if not agreement(told[name], expected[name])
        ]

    def _agreements(self, question: Question, rows: Sequence[Row]) -> Mapping[str, Agreement]:
        if self._known is None or self._known[0] is not question:
            decided = {
                name: feature
                for name, feature in self._features.items()
                if self._coverage.decides(feature, question.at, rows)
            }
            self._known = (
                question,
                {name: _agreement(feature, rows) for name, feature in decided.items()},
            )
        return self._known[1]

    def _explain(self, differences: Sequence[Difference]) -> None:
        """Report what differs for one entity."""
        self.report.mismatch_count += len(differences)
        kept = differences[: max(KEPT - len(self.report.mismatches), 0)]
        culprits = explain.late(self._truth, differences) if kept else []
        for one in kept:
            name, question = one.feature.name, one.question
            found = explain.behind(self._truth, one.feature, question, one.rows)
            text = explain.hint(self._truth, one.feature, question, found, culprits)
            if self._ways_differ:
                text = (
                    "the ways of computing this view differ, which may explain it: see that first;"
                    f" else {text}"
                )
            if one.place == "online":
                text = f"{text}; if the tables are right, plane run {self._spec.name} --resync"
            shown = [self._shown(row, one.feature) for row in found[-explain.SHOWN :]]
            timed = any(f.name == name and "timestamp" in f.type for f in self._spec.features)
            values = (_as_told(one.told[name], timed), _as_told(one.expected[name], timed))
            self._report(one.place, question, name, values, shown, len(found), text)

    def _shown(self, row: Row, feature: RowFeature | WindowFeature | None) -> dict[str, Any]:
        shown = self._truth.shown(row, feature)
        return {name: _as_told(value, name in self._timed) for name, value in shown.items()}

    def _doubled(self, place: str, question: Question) -> None:
        self.report.mismatch_count += 1
        if len(self.report.mismatches) < KEPT:
            text = (
                f"the table was altered; plane run {self._spec.name} --recompute replaces its rows"
            )
            self._report(place, question, "*", ("several rows", "one row"), [], 0, text)

    def _report(
        self,
        place: str,
        question: Question,
        feature: str,
        values: tuple[Any, Any],
        rows: Sequence[Mapping[str, Any]],
        count: int,
        text: str,
        kind: str = VALUE,
    ) -> None:
        keys, at = named(self._spec, question), from_micros(question.at)
        found = Mismatch(
            self._spec.name, place, keys, at, feature, *values, rows, count, text, kind
        )
        self.report.mismatches.append(found)


def _all_agree(agreements: Mapping[str, Agreement], told: Values, expected: Values) -> bool:
    return all(agrees(told[name], expected[name]) for name, agrees in agreements.items())


def _as_told(value: Any, timed: bool) -> Any:  # noqa: ANN401 - a value of any type
    """The value as a user knows it: timestamps as such."""
    if isinstance(value, Near):
        return value.value
    if isinstance(value, list):
        return [_as_told(item, timed) for item in value]
    return instant(value) if timed and isinstance(value, int) else value


def _agreement(feature: RowFeature | WindowFeature, rows: Sequence[Row]) -> Agreement:
    """When two values of a feature are the same: floats may be off by 1e-9 of the sum of their
    column's sizes, sketches by what they are off."""
    if isinstance(feature, RowFeature):
        return same
    column = feature.column
    values = [row[column] for row in rows] if column is not None else []
    scale = sum(abs(value) for value in values if isinstance(value, float) and math.isfinite(value))

    def agrees(told: Any, expected: Any) -> bool:  # noqa: ANN401 - values of any type
        if isinstance(told, list) and isinstance(expected, list):
            return len(told) == len(expected) and all(map(agrees, told, expected))
        sketched = feature.function == "approx_count_distinct" and not feature.lists_keys
        if (
            sketched
            and isinstance(expected, int)
            and isinstance(told, int)
            and expected > _EXACT_DISTINCT
        ):
            return same(float(told), float(expected), relative=_SKETCH)
        return same(told, expected, scale)

    return agrees
