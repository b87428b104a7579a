"""Takes samples of every view, compares the observed values with the expected ones, and reports."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.progress import Progress
from controlplane.base.types import micros
from controlplane.control import ledger
from controlplane.errors import CheckFailed, PlaneError, SettingsError, TransientError
from controlplane.manifest.specs import Manifest, StaticViewSpec, ViewSpec
from controlplane.release.program import build
from controlplane.sql.dialects import dialect
from controlplane.sql.range_errors import explained, long_sums
from controlplane.verify import sampling, ways
from controlplane.verify.agreement import Agreement, agreement, all_agree
from controlplane.verify.coverage import Coverage
from controlplane.verify.evaluated import Evaluated
from controlplane.verify.expected import TIME, Expected, Key, Sample
from controlplane.verify.explain import Difference
from controlplane.verify.mismatches import Mismatches
from controlplane.verify.observed import Observed, Observer, Values
from controlplane.verify.oracle import Row
from controlplane.verify.realtime import Open, compare_service
from controlplane.verify.report import Report, ViewReport, summed
from controlplane.verify.sampling import PER_KEY

CHUNK = 50
"""Entities whose samples are read by one query."""
_REPORTS = 20
"""How often progress is reported for one view, at most."""

OnProgress = Callable[[Progress], None]


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
    """Compare computed values with brute force over the raw rows; nothing is written.

    Args:
        manifest: the deployed manifest.
        warehouse: the warehouse with its tables and sources.
        store: opens the online store, or returns None if the environment has none.
        calculator: prepares the computation of a reader.
        now: returns the environment's current time.
        views: names of feature views (default: all, and the calculations of all services).
        cases: the number of samples of each view, and of rows of each service.
        seed: the random seed (default: a new one each run).
        on_progress: receives the progress.

    Raises:
        PlaneError: there is no such view, or the warehouse refuses.
    """
    if cases < 1:
        raise PlaneError(f"can't compare {cases} cases", hint="give --cases 1 or more")
    chosen = [manifest.view(name) for name in views] or list(manifest.views)
    seed = random.SystemRandom().randrange(1, 1_000_000) if seed is None else seed
    opened, problem = _opened(store)
    reports = []
    for view in chosen:
        kept = opened if view.online else None
        try:
            with explained(f"feature view {view.name!r}", view.location, long_sums(view)):
                checked = _checked(manifest, view, warehouse, seed, cases, kept, now, on_progress)
        except CheckFailed as error:
            if len(chosen) == 1:
                raise
            # No run would publish these rows. The other views can still be compared.
            checked = ViewReport(view.name, refused=str(error))
        if problem and view.online:
            checked.notes.append(problem)
        reports.append(checked)
    calculated = [service for service in manifest.services if service.calculations and not views]
    services = [
        compare_service(manifest, s, warehouse, calculator, cases=cases, seed=seed)
        for s in calculated
    ]
    return summed(seed, reports, services)


def _opened(store: Callable[[], OnlineStore | None]) -> tuple[OnlineStore | None, str]:
    try:
        return store(), ""
    except SettingsError:  # users can correct it; all other problems become a note
        raise
    except TransientError as error:
        return None, f"online: the store can't be reached, so it was not compared: {error.message}"
    except PlaneError as error:  # its embedded server can't be started, for one
        return (
            None,
            f"online: the store can't be opened, so it was not compared: {error.message}",
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
    checked.compare_ways()
    checked.compare_samples(cases, store, now, on_progress)
    return checked.report


class _View:
    """Compares one view; the result is in `report`."""

    def __init__(
        self,
        manifest: Manifest,
        view: ViewSpec,
        warehouse: Warehouse,
        seed: int,
        watermark: datetime,
    ) -> None:
        self.report = ViewReport(view.name)
        self._spec = view
        self._seed = seed
        self._warehouse = warehouse
        self._d = dialect(manifest.dialect)
        self._watermark = micros(watermark)
        evaluated = Evaluated(manifest, view, watermark)
        self._expected = Expected(manifest, view, evaluated)
        self._coverage = Coverage(self._expected.oracle, evaluated)
        self._observer = Observer(manifest, view, self._expected, warehouse)
        self._fixed_now = manifest.now is not None
        self._features = {feature.name: feature for feature in self._expected.oracle.features}
        self._known: tuple[Sample, Mapping[str, Agreement]] | None = None
        self._mismatches = Mismatches(self._expected, self.report)

    def compare_ways(self) -> None:
        """Evaluate some intervals alone and with others, if the view has these two ways."""
        if isinstance(self._spec, StaticViewSpec) or self._expected.evaluated.apart:
            return
        intervals = ways.sampled(self._expected, self._warehouse, self._d, self._seed)
        differing = ways.differing(self._expected, self._warehouse, self._d, intervals)
        self.report.intervals = len(intervals)
        self._mismatches.ways_differ(differing)

    def compare_samples(
        self,
        cases: int,
        store: OnlineStore | None,
        now: Callable[[], datetime],
        on_progress: OnProgress,
    ) -> None:
        """Compare this many samples in all places that hold values."""
        reported = -1

        def on_case() -> None:
            nonlocal reported
            if self.report.cases * _REPORTS // cases > reported:
                reported = self.report.cases * _REPORTS // cases
                on_progress(Progress(self._spec.name, "compare", self.report.cases, cases))

        on_case()
        if not self._observer.shown:
            self.report.notes.append(
                "public views and models still read an earlier version: these were not compared"
            )
            store = None
        last = self._last
        self.report.notes += self._coverage.notes(last)
        if len(self._coverage.undecided(last)) == len(self._features):
            return
        count = math.ceil(cases / PER_KEY)
        keys = sampling.entities(
            self._expected, self._warehouse, self._d, self._observer.history, count, self._seed
        )
        if not keys:
            self.report.notes.append(
                "nothing was compared: neither the raw rows nor the history have an entity"
            )
        left, each = cases, max(PER_KEY, math.ceil(cases / max(len(keys), 1)))
        for start in range(0, len(keys), CHUNK):
            samples = self._samples(keys[start : start + CHUNK], each)
            # The last entities may get fewer than `each`, so that `cases` is never exceeded.
            samples = dict(list(samples.items())[:left])
            left -= len(samples)
            self._chunk(samples, store, now, on_case)
        on_progress(Progress(self._spec.name, "done", self.report.cases, self.report.cases))

    @property
    def _last(self) -> int:
        """The latest instant of a sample: one later, the next interval should be visible."""
        view = self._expected.oracle
        return self._watermark + view.delay + view.schedule - 1

    def _samples(self, keys: Sequence[Key], each: int) -> dict[int, Sample]:
        """Take `each` samples of every entity: the newest values, and values at other instants."""
        view = self._expected.oracle
        seed = f"{self._seed} {self._spec.name} {keys}"
        choice = random.Random(seed)  # noqa: S311 - a seed repeats the samples
        newest, first, last = self._watermark + view.delay, self._coverage.first, self._last
        times = sampling.event_times(
            self._expected, self._warehouse, self._d, keys, each, self._seed
        )
        samples: list[Sample] = []
        for key in keys:
            instants = sampling.instants(view, times[key], each - 1, first, last, choice)
            samples.append(Sample(key, newest, sampling.since(view, newest), newest=True))
            samples += [Sample(key, at, sampling.since(view, at)) for at in instants]
        numbered = dict(enumerate(samples))
        oversized = sampling.oversized(self._expected, self._warehouse, self._d, numbered)
        if oversized:
            text = (
                f"{len(oversized)} entities with more than {sampling.MOST_ROWS:,} raw rows that"
                " count were left out"
            )
            self.report.notes.append(text)
        return {n: sample for n, sample in numbered.items() if sample.key not in oversized}

    def _chunk(
        self,
        samples: Mapping[int, Sample],
        store: OnlineStore | None,
        now: Callable[[], datetime],
        on_case: Callable[[], None],
    ) -> None:
        if not samples:
            return
        observations = self._observer.read(samples)
        # One time for the read and its comparison: a value could expire between the two.
        moment = now()
        newest = {number: sample for number, sample in samples.items() if sample.newest}
        if store is not None and newest:
            online = self._observer.online(store, newest, lambda: moment)
            if isinstance(online, Observed):
                observations.append(online)
            elif online not in self.report.notes:
                self.report.notes.append(online)
        differences: list[Difference] = []
        for number, rows in self._with_rows(samples):
            sample = samples[number]
            # All differences of an entity are explained together: one late row causes many.
            if differences and differences[0].sample.key != sample.key:
                self._mismatches.values_differ(differences)
                differences = []
            expected = self._expected.oracle.value(rows, sample.key, sample.at)
            for observed in observations:
                if number in observed.values:
                    values = observed.values[number]
                    differences += (
                        self._online(sample, rows, values, micros(moment))
                        if observed.place == "online"
                        else self._compare(observed.place, sample, rows, expected, values)
                    )
                if number in observed.doubled:
                    self._mismatches.doubled(observed.place, sample)
            self.report.cases += 1
            on_case()
        self._mismatches.values_differ(differences)

    def _with_rows(self, samples: Mapping[int, Sample]) -> Iterator[tuple[int, list[Row]]]:
        """Yield every sample's number and raw rows in order; a sample may have no rows."""
        fetched = self._expected.rows(self._warehouse, samples)
        fetched_number, rows = next(fetched, (None, []))
        for number in samples:
            if number == fetched_number:
                yield number, rows
                fetched_number, rows = next(fetched, (None, []))
            else:
                yield number, []

    def _online(
        self, sample: Sample, rows: Sequence[Row], observed: Values | None, now: int
    ) -> list[Difference]:
        """Compare online values: those at the watermark, without what has expired by now."""
        view = self._expected.oracle
        if view.ttl is not None:
            if observed is None and self._fixed_now:
                # The environment's now stands still, but what was synced expires by the wall clock.
                return []
            sample = replace(sample, at=max(now, sample.at))
            # The time to live counts from now, but only computed rows can be online.
            rows = [row for row in rows if view.time is None or row[TIME] < self._watermark]
        return self._compare(
            "online", sample, rows, view.value(rows, sample.key, sample.at), observed
        )

    def _compare(
        self,
        place: str,
        sample: Sample,
        rows: Sequence[Row],
        expected: Values,
        observed: Values | None,
    ) -> list[Difference]:
        observed = self._expected.oracle.nothing() if observed is None else observed
        agreements = self._agreements(sample, rows)
        self.report.compared[place] = self.report.compared.get(place, 0) + len(agreements)
        self.report.nulls += sum(expected[name] is None for name in agreements)
        agrees = partial(all_agree, agreements, observed)
        return [
            Difference(place, sample, rows, self._features[name], observed, expected, agrees)
            for name, agrees_on in agreements.items()
            if not agrees_on(observed[name], expected[name])
        ]

    def _agreements(self, sample: Sample, rows: Sequence[Row]) -> Mapping[str, Agreement]:
        if self._known is None or self._known[0] is not sample:
            decided = {
                name: feature
                for name, feature in self._features.items()
                if self._coverage.decides(feature, sample.at, rows)
            }
            self._known = (
                sample,
                {name: agreement(feature, rows) for name, feature in decided.items()},
            )
        return self._known[1]
