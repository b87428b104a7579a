"""`make price`: build each toy in a copy of the tree, and forget each of its files once.

    make price                       all toys
    make price TOYS="value_range"    some of them

With all its files a toy must pass its checks. Without any one of them a check must fail. Exit code
1 if a toy fails, or if a forgotten file is not noticed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.price.toy import Toy
from tests.price.toys import TOYS
from tests.price.tree import Tree

_NOT_NOTICED = "NOT NOTICED"
_WIDTH = 130  # columns, also where the output is not a terminal


def tried(toy: Toy, tree: Tree) -> tuple[str | None, dict[str, str]]:
    """Return how the whole toy fails, if it does, and for each file what notices its omission."""
    with tree.edited(toy.edits):
        failure = tree.failure(toy.checks)
    if failure is not None:
        return failure, {}
    noticed = {}
    for path in track(toy.paths, description=toy.name):
        with tree.edited([edit for edit in toy.edits if edit.path != path]):
            noticed[path] = tree.failure(toy.checks) or _NOT_NOTICED
    return None, noticed


def main() -> int:
    """Print a table of all toys; return the exit code."""
    parser = argparse.ArgumentParser(prog="make price")
    parser.add_argument("toys", nargs="*", help="names of toys (default: all)")
    names = parser.parse_args().toys
    table = Table("toy", title="the price of a change")
    table.add_column("file", no_wrap=True)
    table.add_column("what notices its omission", overflow="fold")
    exit_code = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder))
        for toy in TOYS:
            if names and toy.name not in names:
                continue
            failure, noticed = tried(toy, tree)
            checks = ", ".join(type(check).__name__.lower() for check in toy.checks)
            passed = f"passes {checks}" if failure is None else f"FAILS: {failure}"
            table.add_row(toy.name, f"{len(toy.paths)} files", passed)
            for path, words in noticed.items():
                table.add_row("", path, words)
            table.add_section()
            if failure is not None or _NOT_NOTICED in noticed.values():
                exit_code = 1
    Console(markup=False, width=max(Console().width, _WIDTH)).print(table)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
