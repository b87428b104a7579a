"""No function that depends on more than its row is taken for one of the row, whatever it is called
and given."""

from __future__ import annotations

import re

import duckdb
import pytest

from controlplane.compile.builtins import KNOWN
from controlplane.compile.changeable import CHANGEABLE
from controlplane.compile.transformation import query
from tests.compile.verdicts import verdict

AGGREGATES = {
    # `SHOW FUNCTIONS` (is_aggregate), and the pages "Aggregate functions" and "Window functions".
    "snowflake": (
        """
any_value approx_count_distinct approx_percentile approx_percentile_accumulate
approx_percentile_combine approx_percentile_estimate approx_top_k approx_top_k_accumulate
approx_top_k_combine approx_top_k_estimate approximate_count_distinct approximate_jaccard_index
approximate_similarity array_agg array_union_agg array_unique_agg arrayagg avg bit_and_agg
bit_andagg bit_or_agg bit_oragg bit_xor_agg bit_xoragg bitand_agg bitandagg bitmap_bit_position
bitmap_bucket_number bitmap_construct_agg bitmap_count bitmap_or_agg bitor_agg bitoragg bitxor_agg
bitxoragg booland_agg boolor_agg boolxor_agg conditional_change_event conditional_true_event corr
count count_if count_internal covar_pop covar_samp cume_dist dense_rank first_value grouping
grouping_id hash_agg hll hll_accumulate hll_combine hll_estimate hll_export hll_import kurtosis
lag last_value lead listagg max max_by median min min_by minhash minhash_combine mode nth_value
ntile object_agg objectagg percent_rank percentile_cont percentile_disc rank ratio_to_report
regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
row_number skew st_collect st_intersection_agg_geography_internal st_union_agg_geography_internal
stddev stddev_pop stddev_samp sum sum_internal var_pop var_samp variance variance_pop
variance_samp
"""
    ),
    # The groups agg_funcs, sketch_funcs and window_funcs of Spark 4.2's registry, as in
    # `pyspark.sql.functions`.
    "databricks": (
        """
any any_value approx_count_distinct approx_percentile approx_top_k approx_top_k_accumulate
approx_top_k_combine array_agg avg bit_and bit_or bit_xor bitmap_and_agg bitmap_construct_agg
bitmap_or_agg bloom_filter_agg bool_and bool_or collect_list collect_set collect_top_k corr count
count_distinct count_if count_min_sketch covar_pop covar_samp cume_dist dense_rank every first
first_value grouping grouping_id histogram_numeric hll_sketch_agg hll_union_agg
kll_merge_agg_bigint kll_merge_agg_double kll_merge_agg_float kll_sketch_agg_bigint
kll_sketch_agg_double kll_sketch_agg_float kurtosis lag last last_value lead listagg
listagg_distinct max max_by mean measure median min min_by mode nth_value ntile percent_rank
percentile percentile_approx percentile_cont percentile_disc product rank regr_avgx regr_avgy
regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number
schema_of_variant_agg skewness some std stddev stddev_pop stddev_samp string_agg
string_agg_distinct sum sum_distinct theta_intersection_agg theta_sketch_agg theta_union_agg
try_avg try_sum tuple_intersection_agg_double tuple_intersection_agg_integer
tuple_sketch_agg_double tuple_sketch_agg_integer tuple_union_agg_double tuple_union_agg_integer
var_pop var_samp variance
"""
    ),
}
"""Aggregates and window functions, which the parser may know under a name of another warehouse."""
SESSION = {
    # The pages "Context functions" and "Data generation functions".
    "snowflake": (
        """
all_user_names current_account current_account_name current_available_roles current_client
current_database current_date current_ip_address current_organization_name current_region
current_role current_role_type current_schema current_schemas current_secondary_roles
current_session current_statement current_time current_timestamp current_transaction current_user
current_version current_warehouse getdate getvariable invoker_role invoker_share
is_database_role_in_session is_granted_to_invoker_role is_role_in_session last_query_id
last_transaction localtime localtimestamp normal random randstr seq1 seq2 seq4 seq8 sysdate
systimestamp uniform uuid_string zipf
"""
    ),
    # The group misc_funcs, and current_* and random ones of the others.
    "databricks": (
        """
aes_encrypt curdate current_catalog current_database current_date current_path current_schema
current_time current_timestamp current_timezone current_user getdate input_file_block_length
input_file_block_start input_file_name localtimestamp monotonically_increasing_id now rand randn
random randstr session_user shuffle spark_partition_id uniform user uuid version
"""
    ),
}
"""The clock, chance and the session."""
ARGUMENTS = (
    "",
    "b",
    "b, b",
    "b, s",
    "s, b",
    "b, b, b",
    "items",
    "ts",
    "b, 0.5",
    "items, x -> x",
    "DISTINCT b",
    "*",
)


def verdicts(function: str, dialect: str) -> dict[str, str]:
    """What is said of a call with each kind of arguments that the parser takes."""
    found = {}
    for arguments in ARGUMENTS:
        sql = f"SELECT k, ts, {function}({arguments}) AS x FROM events"
        try:
            query(sql, dialect)
        except ValueError:
            continue
        found[arguments] = verdict(sql, dialect)
    return found


def names(lists: dict[str, str]) -> list[tuple[str, str]]:
    return [(dialect, name) for dialect, text in lists.items() for name in text.split()]


@pytest.mark.parametrize(("dialect", "function"), names(AGGREGATES))
def test_no_aggregate_is_taken_for_a_function_of_the_row(dialect: str, function: str) -> None:
    assert "row" not in verdicts(function, dialect).values()


@pytest.mark.parametrize(("dialect", "function"), names(SESSION))
def test_the_clock_chance_and_the_session_are_refused(dialect: str, function: str) -> None:
    assert set(verdicts(function, dialect).values()) == {"clock"}


def catalogue(condition: str) -> set[str]:
    rows = (
        duckdb.connect()
        .execute(f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE {condition}")
        .fetchall()
    )
    return {name for (name,) in rows if re.fullmatch(r"\w+", name)}


def test_duckdb_s_own_catalogue_has_nothing_that_the_proof_misjudges() -> None:
    scalars = catalogue("function_type IN ('scalar', 'macro')")
    others = catalogue("function_type NOT IN ('scalar', 'macro')") - scalars - {"unnest"}
    misjudged = {name for name in others if "row" in verdicts(name, "duckdb").values()}
    assert misjudged == set()
    changing = catalogue("function_type = 'scalar' AND stability <> 'CONSISTENT'")
    assert {name for name in changing if "row" in verdicts(name, "duckdb").values()} == set()


@pytest.mark.parametrize(
    ("dialect", "functions"),
    [
        ("duckdb", "zeroifnull iff to_varchar xxhash64 parse_json date_from_parts from_unixtime"),
        ("snowflake", "strftime epoch_ms list_sum unix_timestamp xxhash64 format printf sha256"),
        (
            "databricks",
            "strftime epoch_ms list_sum object_construct yearweek sha256 time_slice div0",
        ),
    ],
)
def test_another_warehouse_s_function_is_a_user_s_own(dialect: str, functions: str) -> None:
    for function in functions.split():
        assert "row" not in verdicts(function, dialect).values(), function


@pytest.mark.parametrize(
    "call",
    [
        "my_schema.abs(b)",
        '"abs"(b)',
        "my_abs /* of */ (b)",
        "my_abs -- of\n (b)",
        "my$abs(b)",
        "abs(b) + twice(b)",
    ],
)
def test_a_call_is_found_however_it_is_written(call: str) -> None:
    expected = "row" if call.startswith('"') else "interval"
    assert verdict(f"SELECT k, ts, {call} AS x FROM events", "snowflake") == expected


def test_names_before_columns_are_no_calls() -> None:
    sql = (
        "WITH pairs(k, ts) AS (SELECT k, ts FROM events) SELECT p.a AS k, p.b AS ts FROM pairs AS"
        " p(a, b)"
    )
    assert verdict(sql, "duckdb") == "row"
    sql = (
        "WITH pairs(k, ts) AS (SELECT k, ts FROM events) SELECT k, ts, pairs(k, ts) AS x FROM pairs"
    )
    assert verdict(sql, "duckdb") == "interval"


def test_no_list_allows_what_another_one_refuses() -> None:
    for dialect, known in KNOWN.items():
        assert known & CHANGEABLE == set(), dialect
