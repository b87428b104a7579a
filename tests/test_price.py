"""Each toy of `make price` fits today's tree and touches the files that ARCHITECTURE.md names."""

from __future__ import annotations

import pytest

from tests.price.toy import Insert, NewFile, Toy, apply, mismatches, table
from tests.price.toys import TOYS
from tests.test_house import ROOT

ROWS = table()


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_all_edits_apply(toy: Toy) -> None:
    assert list(apply(toy.edits, ROOT)) == toy.paths


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_a_toy_touches_the_files_of_its_row(toy: Toy) -> None:
    assert mismatches(toy, ROWS) == []


def test_a_wrong_row_is_noticed() -> None:
    toy = Toy("toy", "row", [Insert("README.md", "a", "b"), NewFile("docs/new.md", "")], [])
    assert mismatches(toy, {"row": ["README.md", "docs/"]}) == []
    assert len(mismatches(toy, {})) == 2
    assert len(mismatches(toy, {"row": ["README.md", "docs/", "SECURITY.md"]})) == 1
    assert len(mismatches(toy, {"row": ["README.md", "docs/", "bench/"]})) == 1


def test_an_edit_that_does_not_apply_is_noticed() -> None:
    with pytest.raises(ValueError, match="2 times 'a'"):
        Insert("x", "a", "b").apply("a a")
    with pytest.raises(ValueError, match="0 times 'a'"):
        Insert("x", "a", "b").apply(None)
    with pytest.raises(ValueError, match="x exists"):
        NewFile("x", "").apply("")
