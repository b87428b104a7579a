"""What the proof must not take for a function of a row."""

from __future__ import annotations

import pytest

from controlplane.compile.evaluation import analyse
from controlplane.compile.lineage import Source
from controlplane.compile.transformation import query

AGGREGATES = ["any", "some", "every", "bool_or", "collect_list", "max_by", "first", "mean"]


@pytest.mark.parametrize("function", AGGREGATES)
def test_no_aggregate_of_spark_is_taken_for_a_function_of_a_row(function: str) -> None:
    arguments = "b, ts" if function == "max_by" else "b"
    tree = query(f"SELECT k, ts, {function}({arguments}) AS x FROM events", "databricks")
    sources = {"events": Source(["k", "ts", "b"], "ts")}
    assert analyse(tree, "databricks", sources).construct is not None
