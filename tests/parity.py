"""`make parity`: the examples and random definitions on Snowflake's and Databricks' local endpoints, row by row.

    make parity CASES=100 SEED=7                    the cases of a seed
    make parity CASES=2000 ENGINES=snowflake        on one of the warehouses
    make parity CASES=1 CASE=7000000012             one case alone, with all rows that differ
    make parity CASES=0                             the examples alone

With CONTROLPLANE_LIVE_SNOWFLAKE (the name of a connection) or CONTROLPLANE_LIVE_DATABRICKS (the address of a SQL
warehouse) and CONTROLPLANE_LIVE_DATABRICKS_TOKEN, it is that account in place of a local endpoint. Exit code 1 if any
row differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.endpoints.databricks.client import DatabricksEndpoint, missing
from tests.engine import examples
from tests.engine.differential import SEEDS
from tests.engine.parity import ENGINES, live, opened, play, two_at_once

SHOWN = 3


def compare(engine: str, first: int, wanted: int, alone: bool, console: Console) -> tuple[int, int]:
    """Compute the examples and so many cases on one engine; how many rows were compared, and how many differ."""
    rows = differing = 0
    with ExitStack() as stack:
        databricks = None
        if engine == "databricks" and not live(engine):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            databricks = stack.enter_context(DatabricksEndpoint.start(folder, os.getpid()))
        warehouse, options = stack.enter_context(opened(engine, databricks))
        if not alone:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            raw = stack.enter_context(examples.raw_tables(place))
            for name in track(examples.EXAMPLES, description=f"{engine}, examples", console=console):
                comparison = examples.compare(name, warehouse, options, raw, place / name)
                tables = [table for view in comparison.views for table in view.tables]
                rows += sum(table.compared for table in tables)
                if not comparison.equal:
                    differing += sum(t.differing + t.only_here + t.only_there for t in tables) or 1
                    console.print(f"{engine}, example {name}: {comparison}", markup=False)
            if not two_at_once(warehouse, options):
                differing += 1
                console.print(f"{engine}: two first runs at the same moment did not leave one copy")
        numbers = count(first)
        for _ in track(range(wanted), description=engine, console=console):
            found = play(next(numbers), warehouse)
            while found.refused:
                found = play(next(numbers), warehouse)
            rows += found.rows
            differing += len(found.differing)
            for difference in found.differing if wanted == 1 else found.differing[:SHOWN]:
                console.print(f"{engine}, case {found.number}: {difference}", markup=False)
    return rows, differing


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="which cases (1)")
    parser.add_argument("--cases", type=int, default=20, help="how many on each engine (20); refused ones don't count")
    parser.add_argument("--case", type=int, help="the first of them")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="on which (all)")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if "databricks" in given.engines and not live("databricks") and (lacking := missing()):
        console.print(f"databricks can't be compared: {lacking}")
        return 1
    first = given.seed * SEEDS if given.case is None else given.case
    alone = given.case is not None
    found = [compare(engine, first, given.cases, alone, console) for engine in given.engines]
    rows, differing = (sum(column) for column in zip(*found, strict=True))
    said = "" if alone else f"{len(examples.EXAMPLES)} examples and "
    console.print(f"{len(found)} engines, {said}{given.cases} cases each, {rows} rows, {differing} differing rows")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
