"""`make parity`: the examples and random definitions on Snowflake's and Databricks' local
endpoints, row by row.

    make parity CASES=100 SEED=7                    the cases of a seed make parity CASES=2000
    ENGINES=snowflake        on one of the warehouses make parity CASES=1 CASE=7000000012
    one case alone, with all rows that differ make parity CASES=0                             the
    examples alone make parity MUTANTS=1 ENGINES=snowflake         mistakes made on purpose, and how
    many cases it takes to notice each

With CONTROLPLANE_LIVE_SNOWFLAKE (the name of a connection) or CONTROLPLANE_LIVE_DATABRICKS (the
address of a SQL warehouse) and CONTROLPLANE_LIVE_DATABRICKS_TOKEN, it is that account in place of a
local endpoint. Exit code 1 if any row differs.
"""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from controlplane.base.ports import Warehouse
from tests import verify
from tests.endpoints.databricks.client import DatabricksEndpoint, missing
from tests.engine import capabilities, examples
from tests.engine.capabilities import Counts
from tests.engine.differential import SEEDS
from tests.engine.mutants_elsewhere import hunt
from tests.engine.mutation import Caught, Mutant
from tests.engine.parity import ENGINES, Parity, live, opened, play, two_at_once

SHOWN = 3
MOST = 20  # cases that may pass before a mistake is noticed
MANY = 200  # cases among which each capability is to be found
_open: dict[str, Warehouse] = {}  # of this process


@contextmanager
def started(engine: str) -> Iterator[tuple[Warehouse, dict[str, Any]]]:
    """A warehouse, see `opened`; a local Databricks is started for it."""
    with ExitStack() as stack:
        databricks = None
        if engine == "databricks" and not live(engine):
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            )
            # As on a cluster: rows lie in several parts, and come in any order.
            databricks = stack.enter_context(
                DatabricksEndpoint.start(folder, os.getpid(), partitions=2)
            )
        yield stack.enter_context(opened(engine, databricks))


@dataclass
class Compared:
    """What was compared on one engine, and how many rows of it differ."""

    rows: int = 0
    differing: int = 0
    counts: Counts = field(default_factory=Counter)
    checked: dict[str, bool] = field(default_factory=dict)


def compare_examples(engine: str, console: Console) -> Compared:
    """Compute the examples on one engine, and check what is not compared row by row."""
    found = Compared()
    with started(engine) as (warehouse, options), tempfile.TemporaryDirectory() as folder:
        with examples.raw_tables(Path(folder)) as raw:
            for name in track(
                examples.EXAMPLES, description=f"{engine}, examples", console=console
            ):
                comparison = examples.compare(name, warehouse, options, raw, Path(folder) / name)
                tables = [table for view in comparison.views for table in view.tables]
                found.rows += sum(table.compared for table in tables)
                if not comparison.equal:
                    found.differing += (
                        sum(t.differing + t.only_here + t.only_there for t in tables) or 1
                    )
                    console.print(f"{engine}, example {name}: {comparison}", markup=False)
        found.checked = {name: check(warehouse) for name, check in capabilities.CHECKS.items()}
        found.checked["two first runs at the same moment leave one copy"] = two_at_once(
            warehouse, options
        )
        for name in (name for name, right in found.checked.items() if not right):
            found.differing += 1
            console.print(f"{engine}: {name}: that is not so")
    return found


def play_here(number: int, engine: str) -> Parity:
    """The case of a number in the warehouse of this process, which stays open."""
    if engine not in _open:
        stack = ExitStack()
        atexit.register(stack.close)
        _open[engine], _ = stack.enter_context(started(engine))
    return play(number, _open[engine])


def compare_cases(engine: str, first: int, wanted: int, jobs: int, console: Console) -> Compared:
    """Compute so many cases on one engine, in so many processes with a warehouse each."""
    found = Compared()
    if not wanted:
        return found
    with ExitStack() as stack:
        played: Iterator[Parity]
        if jobs > 1:
            played = verify.in_order(partial(play_here, engine=engine), count(first), jobs, 1)
            stack.callback(played.close)  # type: ignore[attr-defined]
        else:
            warehouse, _ = stack.enter_context(started(engine))
            played = (play(number, warehouse) for number in count(first))
        some = islice((one for one in played if not one.refused), wanted)
        for one in track(some, total=wanted, description=engine, console=console):
            found.rows += one.rows
            found.counts.update(one.counts)
            found.differing += len(one.differing)
            for difference in one.differing if wanted == 1 else one.differing[:SHOWN]:
                console.print(f"{engine}, case {one.number}: {difference}", markup=False)
    return found


def mutants(engine: str, seed: int, console: Console) -> bool:
    """Make every mistake on purpose on one engine; whether all were noticed."""
    with started(engine) as (warehouse, _):

        def hunted(mutant: Mutant, most: int, seed: int) -> Caught | None:
            return hunt(mutant, most, seed, warehouse)

        return verify.mutants(seed, MOST, console, hunted, engine)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.parity", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1, help="which cases (1)")
    parser.add_argument(
        "--cases",
        type=int,
        default=20,
        help="how many on each engine (20); refused ones don't count",
    )
    parser.add_argument("--case", type=int, help="the first of them")
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=ENGINES, help="on which (all)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes for the cases, each with an endpoint (1)"
    )
    parser.add_argument("--mutants", action="store_true", help="mistakes made on purpose")
    given = parser.parse_args(arguments)
    if given.jobs > 1 and any(live(engine) for engine in given.engines):
        parser.error("an account has one of each schema: leave out --jobs")
    console = Console(highlight=False, soft_wrap=True)
    if "databricks" in given.engines and not live("databricks") and (lacking := missing()):
        console.print(f"databricks can't be compared: {lacking}")
        return 1
    if given.mutants:
        caught = [mutants(engine, given.seed, console) for engine in given.engines]
        return 0 if all(caught) else 1
    first = given.seed * SEEDS if given.case is None else given.case
    alone = given.case is not None
    others = (
        {} if alone else {engine: compare_examples(engine, console) for engine in given.engines}
    )
    cases = {
        engine: compare_cases(engine, first, given.cases, given.jobs, console)
        for engine in given.engines
    }
    if not alone:
        checked = {engine: one.checked for engine, one in others.items()}
        console.print(
            capabilities.shown({engine: one.counts for engine, one in cases.items()}, checked)
        )
    unseen = [
        (engine, name) for engine, one in cases.items() for name in capabilities.missing(one.counts)
    ]
    for engine, name in unseen if given.cases >= MANY else []:
        console.print(f"{engine}: {given.cases} cases compared nothing of: {name}", markup=False)
    found = [*others.values(), *cases.values()]
    rows, differing = sum(one.rows for one in found), sum(one.differing for one in found)
    said = "" if alone else f"{len(examples.EXAMPLES)} examples and "
    console.print(
        f"{len(cases)} engines, {said}{given.cases} cases each, {rows} rows, {differing} differing"
        " rows"
    )
    return 1 if differing or (unseen and given.cases >= MANY) else 0


if __name__ == "__main__":
    sys.exit(main())
