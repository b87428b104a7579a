"""What the proof must not take for a function of a row."""

from __future__ import annotations

import pytest

from controlplane.registry.evaluation import analyse
from controlplane.registry.lineage import Source
from controlplane.registry.transformation import query

AGGREGATES = ["any", "some", "every", "bool_or", "collect_list", "max_by", "first", "mean"]


@pytest.mark.parametrize("function", AGGREGATES)
def test_no_aggregate_of_spark_is_taken_for_a_function_of_a_row(function: str) -> None:
    arguments = "b, ts" if function == "max_by" else "b"
    sql = f"SELECT k, ts, {function}({arguments}) AS x FROM events"
    sources = {"events": Source(["k", "ts", "b"], "ts")}
    assert analyse(sql, query(sql, "databricks"), "databricks", sources).construct is not None
