"""What the proof must not take for a function of a row."""

from __future__ import annotations

import pytest

from controlplane.compile.evaluation import analyse
from controlplane.compile.lineage import Source
from controlplane.compile.transformation import query

ORDER_DECIDES = [
    "arbitrary(b)",
    "any_value(b)",
    "arg_max(b, ts)",
    "arg_max_null(b, ts)",
    "max_by(b, ts)",
    "approx_quantile(b, 0.5)",
    "approx_top_k(b, 3)",
    "reservoir_quantile(b, 0.5)",
    "lttb(ts, b, 3)",
    "first(b)",
    "list(b)",
    "string_agg(b, ',')",
    "json_group_array(b)",
    "my_own(b)",
]
ORDER_IS_THE_SAME = [
    "sum(b)",
    "mean(b)",
    "median(b)",
    "count(DISTINCT b)",
    "stddev(b)",
    "quantile_cont(b, 0.5)",
    "approx_count_distinct(b)",
    "bool_or(b > 1)",
    "first(b ORDER BY ts)",
    "list(b ORDER BY ts)",
    "sum(b) FILTER (b > 1)",
    "sum(list_sum(list(b ORDER BY ts))) OVER (ORDER BY max(ts))",
]


@pytest.mark.parametrize("aggregate", [*ORDER_DECIDES, *ORDER_IS_THE_SAME])
def test_intervals_are_evaluated_together_only_where_the_order_of_rows_decides_nothing(
    aggregate: str,
) -> None:
    sql = f"SELECT k, max(ts) AS ts, {aggregate} AS x FROM events GROUP BY k"
    analysis = analyse(
        sql, query(sql, "duckdb"), "duckdb", {"events": Source(["k", "ts", "b"], "ts")}
    )
    assert analysis.construct is not None
    assert analysis.steady == (aggregate in ORDER_IS_THE_SAME)


AGGREGATES = ["any", "some", "every", "bool_or", "collect_list", "max_by", "first", "mean"]


@pytest.mark.parametrize("function", AGGREGATES)
def test_no_aggregate_of_spark_is_taken_for_a_function_of_a_row(function: str) -> None:
    arguments = "b, ts" if function == "max_by" else "b"
    sql = f"SELECT k, ts, {function}({arguments}) AS x FROM events"
    sources = {"events": Source(["k", "ts", "b"], "ts")}
    assert analyse(sql, query(sql, "databricks"), "databricks", sources).construct is not None
