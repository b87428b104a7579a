"""Random definitions over random data: every value is the oracle's, and mistakes of the renderer
are noticed.

`make verify CASES=10000 SEED=7` looks longer, `make verify CASE=7000000012` at one case alone.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from controlplane.sql import inline
from tests import verify
from tests.engine.differential import MODES, SEEDS, SELDOM, Altered, Lab
from tests.engine.mutants import MUTANTS
from tests.engine.mutation import Mutant, hunt, telling

CASES = 24
SEED = 1  # as `make verify MUTANTS=1` has it
SOONER = {
    "text is ordered without its case": 16,
    "intervals that run again add up": 5,
    "a rollup holds only its second half": 2,
    "a window takes rollups of any length": 2,
    "a calendar does not know its zone": 4,
}
"""Other seeds, for mistakes that dozens of the first one's cases don't show."""
MOST = 100  # cases that may pass before a mistake is noticed: many kinds of SQL can't show one


def test_every_value_is_the_oracle_s() -> None:
    counts: Counter[tuple[str, str, str, bool]] = Counter()
    lab = Lab()
    for number in range(SEEDS, SEEDS + CASES):
        outcome = lab.play(number)
        assert not outcome.wrong, f"make verify CASE={number}"
        counts.update(outcome.counts)
    lab.close()
    nulls = sum(count for (*_, null), count in counts.items() if null)
    assert nulls < counts.total() / 2, counts
    assert {mode for _, _, mode, _ in counts} == set(MODES)


@pytest.mark.parametrize("few", [0, 10])
def test_from_source_a_key_has_the_same_values_with_many_points_as_with_few(few: int) -> None:
    limit = f"HAVING count(*) > {inline.FEW_POINTS}"
    altered = Altered(lambda statement: statement.sql.replace(limit, f"HAVING count(*) > {few}"))
    lab = Lab(altered)
    for number in range(2 * SEEDS, 2 * SEEDS + CASES):
        if number % SELDOM["from source"] == 0:
            assert not lab.play(number).wrong, number
    assert altered.changes > 0
    lab.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mistake_is_noticed(mutant: Mutant) -> None:
    caught = hunt(mutant, MOST, SOONER.get(mutant.name, SEED))
    assert caught is not None, f"{MOST} cases do not notice it"
    assert caught.changes > 0
    assert is_right(caught.number)


@cache
def is_right(number: int) -> bool:
    """Whether a case gives the oracle's values without a mistake.

    A case may show several mistakes.
    """
    lab = Lab()
    try:
        return not lab.play(number).wrong
    finally:
        lab.close()


def test_other_seeds_are_for_mistakes_that_there_are() -> None:
    assert SOONER.keys() <= {mutant.name for mutant in MUTANTS}


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["--cases", "2", "--seed", "3"], Lab()) == 0
    right = capsys.readouterr().out
    assert re.search(
        r"^2 cases, \d+ comparisons \(\d+% non-null\), 0 mismatches, seed 3$", right, re.MULTILINE
    )
    delays = next(mutant for mutant in MUTANTS if "delay" in mutant.name)
    number = next(telling(delays, 3))
    wanted = ["--cases", str(number - 3 * SEEDS + 1), "--seed", "3"]
    assert verify.main(wanted, Lab(Altered(delays.alter))) == 1
    wrong = capsys.readouterr().out
    assert f"case {number}: table, key" in wrong
    assert f"replay with: make verify CASE={number}" in wrong
    assert verify.main(["--case", str(number)]) == 0
    assert ", 0 mismatches" in capsys.readouterr().out
