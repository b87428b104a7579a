"""Mutants of the rendered SQL: cases are played one after the other until one notices a mutant."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from controlplane.base.ports import Statement
from controlplane.verify.oracle import View
from tests.engine import cases
from tests.engine.differential import SEEDS, Altered, Lab
from tests.engine.shapes import Form

Replacement = str | Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Mutant:
    """A mistake.

    Args:
        name: what the mistake is.
        pattern: the text that it changes, as a regular expression over one statement.
        replacement: what stands there instead.
        statement: a part of the name of the statements that it is made in; several with `|`
            between them.
        shows: whether a view could show it at all.
        of: whether a view with this kind of SQL could.
    """

    name: str
    pattern: str
    replacement: Replacement
    statement: str = ""
    shows: Callable[[View], bool] = lambda _: True
    of: Callable[[Form], object] = lambda _: True

    def alter(self, statement: Statement) -> str:
        """The statement with the mistake in it."""
        if not any(part in statement.name for part in self.statement.split("|")):
            return statement.sql
        return re.sub(self.pattern, self.replacement, statement.sql, flags=re.DOTALL)


def telling(mutant: Mutant, seed: int) -> Iterator[int]:
    """The numbers of cases whose views could show the mistake."""
    for number in count(seed * SEEDS):
        _, view, form = cases.definition_of(random.Random(number), number)
        if mutant.shows(view) and mutant.of(form):
            yield number


@dataclass(frozen=True)
class Said:
    """What one case said of a mistake, empty if nothing, and how many statements were changed in
    it."""

    noticed: str
    changes: int


@dataclass(frozen=True)
class Caught:
    """A mistake that was noticed: in which case, the how manieth, by what, and how many statements
    it had changed."""

    number: int
    tried: int
    noticed: str
    changes: int


def search(
    attempt: Callable[[int], Said | None], numbers: Iterable[int], most: int
) -> Caught | None:
    """Play one case after the other until one notices; None if none of `most` does.

    Those without a word are no try.
    """
    tried = 0
    for number in numbers:
        said = attempt(number)
        if said is None:
            continue
        tried += 1
        if said.noticed:
            return Caught(number, tried, said.noticed, said.changes)
        if tried == most:
            break
    return None


def hunt(mutant: Mutant, most: int, seed: int = 0) -> Caught | None:
    """Make the mistake in the embedded warehouse, in one case after the other until one notices."""
    warehouse = Altered(mutant.alter)
    lab = Lab(warehouse)

    def attempt(number: int) -> Said:
        warehouse.changes = 0
        outcome = lab.play(number)
        if outcome.broken and not outcome.mismatches:
            raise AssertionError(f"{mutant.name}: that is no SQL: {outcome.broken}")
        return Said(
            "".join(f"{one.mode}: {one.feature}" for one in outcome.mismatches[:1]),
            warehouse.changes,
        )

    try:
        return search(attempt, telling(mutant, seed), most)
    finally:
        lab.close()
