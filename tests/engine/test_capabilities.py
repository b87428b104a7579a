"""The matrix of capabilities is proven: cases are counted for what they have, and what it names is
there."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from connectors.duckdb.warehouse import connect
from controlplane.manifest.windows import Window
from tests.engine import cases
from tests.engine.capabilities import (
    CHECKS,
    COUNTED,
    NAMED,
    WAREHOUSES,
    WINDOWS,
    Proof,
    Refused,
    counted,
    in_a_word,
    missing,
    shown,
)
from tests.engine.differential import SEEDS
from tests.engine.parity import opened

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", CHECKS)
def test_it_holds_on_snowflake_and_here(name):
    with opened("snowflake") as (warehouse, _):
        assert CHECKS[name](warehouse)
    embedded = connect(path=":memory:")
    assert CHECKS[name](embedded)
    embedded.close()


def test_every_kind_of_window_is_counted():
    kinds = {spec.__struct_config__.tag for spec in get_args(Window)}
    assert "sliding" in kinds
    assert kinds <= set(WINDOWS)


def test_some_hundred_cases_have_it_all():
    counts: Counter[str] = Counter()
    for number in range(SEEDS, SEEDS + 200):
        case = cases.case_of(number, 1.0, [1])
        row = {feature.name: 1 for feature in case.view.features}
        for place in ("view", "history", "latest", "ledger", "training set", "from source"):
            counts.update(Counter(dict(counted(case, place, [row]))))
    assert missing(counts) == []
    assert set(counts) == set(COUNTED)
    assert missing(Counter()) == list(COUNTED)


def body(test: Proof | str) -> str:
    """The text of a test, and of what stands beside it in its file."""
    file, _, name = (test.name if isinstance(test, Proof) else test).partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    assert name in {
        one.name for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)
    }, f"no {name}"
    return source


@pytest.mark.parametrize("name", NAMED)
def test_what_tests_prove_is_tested(name):
    assert set(NAMED[name]) == set(WAREHOUSES)
    for cell in NAMED[name].values():
        if isinstance(cell, Refused):
            assert cell.words in body(cell.test)
        else:
            body(cell)


def test_the_matrix_has_a_line_for_each():
    table = shown(
        {"snowflake": Counter(sum=2), "databricks": Counter()}, {"snowflake": {}, "databricks": {}}
    )
    assert table.row_count == len(COUNTED) + len(CHECKS) + len(NAMED)


def test_the_docs_name_each_of_them():
    page = (ROOT / "docs" / "verifying.md").read_text(encoding="utf-8")
    for name in (*COUNTED, *CHECKS):
        assert f"\n| {name} | " in page
    for name, cells in NAMED.items():
        told = " | ".join(in_a_word(cells[warehouse]) for warehouse in WAREHOUSES)
        assert f"\n| {name} | {told} |\n" in page
