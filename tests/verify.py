"""`make verify`: random definitions over random data, as many as you like, every value compared
with the oracle's.

    make verify CASES=10000 SEED=7     the cases of a seed, on all cores make verify CASE=7000000012
    one case alone, with its definition, its rows and its mismatches make verify MUTANTS=1
    mistakes made on purpose, and how many cases it takes to notice each

Exit code 1 if any value differs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)
from rich.table import Table

from tests.engine import cases
from tests.engine.differential import (
    INTERVALS,
    MODES,
    REFUSED,
    SEEDS,
    Lab,
    Mismatch,
    Outcome,
    relevant,
)
from tests.engine.mutants import MUTANTS
from tests.engine.mutants_elsewhere import reason
from tests.engine.mutation import Caught, Mutant, hunt

SHOWN = 10
_CHUNK = 4
_lab: list[Lab] = []  # of this process

Counts = Counter[tuple[str, str, str, bool]]
Shapes = Counter[tuple[str, str, str, str]]
T = TypeVar("T")


def _play(number: int) -> Outcome:
    if not _lab:
        _lab.append(Lab())
    return _lab[0].play(number)


def in_order(
    play: Callable[[int], T], numbers: Iterator[int], jobs: int, at_once: int
) -> Iterator[T]:
    """What cases gave, in order and as long as somebody asks.

    Each of so many processes takes some at once.
    """
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        # `imap` takes all numbers at once: they are given in portions, the next one before the last
        # is done.
        waiting: list[Iterable[T]] = []
        while True:
            waiting.append(
                pool.imap(play, list(islice(numbers, 4 * at_once * jobs)), chunksize=at_once)
            )
            if len(waiting) > 1:
                yield from waiting.pop(0)


def outcomes(seed: int, jobs: int, lab: Lab | None = None) -> Iterator[Outcome]:
    """The cases of a seed in order, without end; refused ones are among them."""
    numbers = count(seed * SEEDS)
    yield from map(lab.play, numbers) if lab is not None else in_order(_play, numbers, jobs, _CHUNK)


def search(seed: int, wanted: int, jobs: int, console: Console, lab: Lab | None = None) -> bool:
    """Look at this many cases, and say what was found; whether all was right."""
    counts: Counts = Counter()
    shapes: Shapes = Counter()
    wrong: list[Outcome] = []
    refused = done = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task(f"seed {seed}", total=wanted)
        found = outcomes(seed, jobs, lab)
        for outcome in found:
            if outcome.refused:
                refused += 1
                continue
            counts.update(outcome.counts)
            shapes.update(outcome.shapes)
            if outcome.wrong:
                wrong.append(outcome)
                what = outcome.broken or _told(outcome.mismatches[0])
                console.print(f"case {outcome.number}: {what}", markup=False)
            done += 1
            bars.update(task, completed=done, description=f"seed {seed}, {len(wrong)} wrong")
            if done == wanted:
                break
        found.close()  # type: ignore[attr-defined]
    console.print(coverage(counts))
    console.print(coverage_of_shapes(shapes))
    nulls = sum(count for (*_, null), count in counts.items() if null)
    share = 100 * (1 - nulls / max(counts.total(), 1))
    mismatches = sum(len(outcome.mismatches) for outcome in wrong)
    rate = done / (time.monotonic() - began)
    console.print(
        f"{rate:.1f} cases a second on {jobs} processes; {refused} refused definitions or runs did"
        " not count"
    )
    for outcome in wrong:
        console.print(f"replay with: make verify CASE={outcome.number}")
    broken = sum(bool(outcome.broken) for outcome in wrong)
    errors = f", {broken} errors" if broken else ""
    text = (
        f"{done} cases, {counts.total()} comparisons ({share:.0f}% non-null), {mismatches}"
        f" mismatches{errors}"
    )
    console.print(f"{text}, seed {seed}")
    return not wrong


def coverage(counts: Counts) -> Table:
    """How often each function was compared over each kind of window in each mode, nulls left
    out."""
    seen = {(function, window) for function, window, *_ in counts}
    windows = sorted({window for _, window in seen})
    table = Table(
        "function",
        "mode",
        *windows,
        title="compared values that are not null",
        title_justify="left",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for function in sorted({function for function, _ in seen}):
        for number, mode in enumerate(MODES):
            cells = [
                f"{counts[function, w, mode, False]:,}" if (function, w) in seen else ""
                for w in windows
            ]
            table.add_row(function if number == 0 else "", mode, *cells)
    return table


def coverage_of_shapes(shapes: Shapes) -> Table:
    """How often each kind of SQL was compared in each mode, by its lookback and by how its rows
    were computed."""
    title = "compared values that are not null, by the view's SQL"
    table = Table("SQL", "lookback", "computed", *MODES, REFUSED, title=title, title_justify="left")
    for column in table.columns[3:]:
        column.justify = "right"
    for shape, reach, computed in sorted({which[:3] for which in shapes}):
        cells = [f"{shapes[shape, reach, computed, mode]:,}" for mode in (*MODES, REFUSED)]
        table.add_row(shape, reach or "-", computed, *cells)
    return table


def replay(number: int, console: Console) -> bool:
    """Show one case with everything that explains it; whether all was right."""
    case, outcome = cases.case_of(number, 1.0, INTERVALS), Lab().play(number)
    console.print(f"case {number}: {case.intervals} intervals, {len(case.rows)} rows", markup=False)
    form = case.form
    console.print(
        f"lookback {form.lookback} us, {'apart, ' if form.apart else ''}{form.shape.name}:"
        f" {form.shape.sql}",
        markup=False,
    )
    console.print(case.view)
    console.print(f"{outcome.counts.total()} comparisons, {len(outcome.mismatches)} mismatches")
    for text in filter(None, (outcome.refused, outcome.broken)):
        console.print(text, markup=False)
    for mismatch in outcome.mismatches[:SHOWN]:
        console.print(_told(mismatch), markup=False)
    if len(outcome.mismatches) > SHOWN:
        console.print(f"and {len(outcome.mismatches) - SHOWN} more")
    for key in dict.fromkeys(mismatch.key for mismatch in outcome.mismatches[:SHOWN]):
        console.print(f"the rows of {key}, times in microseconds since the epoch:", markup=False)
        for row in relevant(case.view, case.rows, key):
            console.print(f"  {row}", markup=False)
    return not outcome.wrong


def _told(found: Mismatch) -> str:
    return (
        f"{found.mode}, key {found.key}, at {found.at}: {found.feature} is {found.told!r}, should"
        f" be {found.expected!r}"
    )


def mutants(
    seed: int,
    most: int,
    console: Console,
    hunt: Callable[[Mutant, int, int], Caught | None] = hunt,
    dialect: str = "duckdb",
) -> bool:
    """Make every mistake on purpose that can be made in a dialect; whether all were noticed."""
    table = Table(
        "mistake", "noticed after", "first seen in", title=f"{len(MUTANTS)} mutants, seed {seed}"
    )
    made = {mutant: reason(dialect, mutant) for mutant in MUTANTS}
    missed = 0
    for mutant, absent in track(made.items(), description=f"mutants, {dialect}", console=console):
        caught = None if absent else hunt(mutant, most, seed)
        if absent:
            table.add_row(mutant.name, "no place", absent)
        elif caught is None:
            missed += 1
            table.add_row(mutant.name, f"not after {most} cases", "")
        else:
            table.add_row(mutant.name, f"{caught.tried} cases", caught.noticed[:60])
    console.print(table)
    wanted = sum(not absent for absent in made.values())
    rest = f" ({len(MUTANTS) - wanted} have no place there)" if wanted < len(MUTANTS) else ""
    console.print(f"{wanted - missed} of {wanted} mutants caught on {dialect}{rest}, seed {seed}")
    return not missed


def main(arguments: Sequence[str] | None = None, lab: Lab | None = None) -> int:
    """The command; its exit code. With a lab of the caller's, cases are played in it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.verify", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1, help="which cases (1)")
    parser.add_argument(
        "--cases", type=int, default=1000, help="how many (1000); refused definitions do not count"
    )
    parser.add_argument("--case", type=int, help="this one alone, with details")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)"
    )
    parser.add_argument("--mutants", action="store_true", help="mistakes made on purpose")
    given = parser.parse_args(arguments)
    console = Console(
        highlight=False,
        soft_wrap=not sys.stdout.isatty(),
        width=None if sys.stdout.isatty() else 160,
    )
    if given.case is not None:
        right = replay(given.case, console)
    elif given.mutants:
        right = mutants(given.seed, 100, console)
    else:
        right = search(given.seed, given.cases, given.jobs, console, lab)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
