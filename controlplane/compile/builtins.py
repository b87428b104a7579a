"""The functions of each warehouse that the proof knows by name.

The parser's classes don't tell: it has one class for functions that warehouses call differently,
and it reads the names of other warehouses, too. A function that the warehouse itself lacks is a
user's own, which may do anything.

Sources: DuckDB 2.0's `duckdb_functions()`, Snowflake's `SHOW FUNCTIONS` (builtin ones), the
function registry of Spark 4.2 and the pages of Databricks SQL. Snowflake refuses to create a
function with the name of a builtin one, and Databricks looks for its own first. In DuckDB a macro
may hide a builtin function: see `docs/semantics.md`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

import sqlglot
from sqlglot import Token, TokenType, exp

from controlplane.base.ports import Warehouse

_DUCKDB = """
abs acos acosh age array array_append array_cat array_concat array_contains array_distinct
array_filter array_has array_has_all array_intersect array_length array_position array_prepend
array_reverse array_reverse_sort array_slice array_sort array_to_string ascii asin asinh atan
atan2 atanh base64 bin bit_count bit_length cast cbrt ceil ceiling char_length character_length
chr coalesce concat concat_ws contains cos cosh cot date date_add date_diff date_part date_sub
date_trunc datediff datepart datetrunc day dayname dayofmonth dayofweek dayofyear decade decode
degrees editdist3 encode ends_with epoch epoch_ms epoch_ns epoch_us era even exists exp extract
factorial filter flatten floor format from_base64 from_hex from_json generate_series get_bit
greatest hash hex hour if ifnull instr isfinite isinf isnan isodow isoyear jaro_winkler_similarity
json json_array json_array_length json_extract json_extract_path json_extract_path_text
json_extract_string json_keys json_object json_remove json_set json_strip_nulls json_type
json_valid json_value julian last_day lcase least left len length levenshtein list_aggregate
list_any_value list_append list_concat list_contains list_cosine_distance list_distance
list_distinct list_element list_extract list_filter list_has list_has_all list_has_any
list_indexof list_max list_min list_position list_prepend list_reduce list_reverse
list_reverse_sort list_slice list_sort list_sum list_transform list_unique list_value list_zip ln
log log10 log2 lower lpad ltrim make_date make_time make_timestamp make_timestamp_ms
make_timestamp_ns map map_extract map_from_entries map_keys map_values md5 microsecond millennium
millisecond minute mod month monthname nanosecond nullif overlay pi position pow power printf
quarter radians range reduce regexp_extract regexp_extract_all regexp_full_match regexp_matches
regexp_replace repeat replace reverse right round row rpad rtrim second sha1 sha256 sign sin sinh
split split_part sqrt starts_with str_split str_split_regex strftime string_split
string_split_regex string_to_array strip_accents strlen strpos strptime struct struct_extract
struct_pack substr substring tan tanh time_bucket timezone timezone_hour timezone_minute to_base
to_base64 to_binary to_days to_hex to_hours to_json to_microseconds to_milliseconds to_minutes
to_months to_seconds to_timestamp to_weeks to_years translate trim trunc try try_cast try_strptime
typeof ucase unbin unhex unicode unnest upper url_decode url_encode week weekday weekofyear xor
year yearweek
"""
_SNOWFLAKE = """
abs acos acosh add_months array array_append array_cat array_compact array_construct
array_contains array_distinct array_except array_flatten array_insert array_intersection array_max
array_min array_position array_prepend array_remove array_remove_at array_reverse array_size
array_slice array_sort array_to_string arrays_overlap ascii asin asinh atan atan2 atanh
base64_decode_binary base64_decode_string base64_encode bit_and bit_length bit_not bit_or
bit_shiftleft bit_shiftright bit_xor bitand bitnot bitor bitshiftleft bitshiftright bitxor booland
boolnot boolor boolxor cast cbrt ceil char charindex check_json chr coalesce collate concat
concat_ws contains convert_timezone cos cosh cot date date_from_parts date_part date_trunc dateadd
datediff datefromparts day dayname dayofmonth dayofweek dayofweekiso dayofyear decode degrees div0
div0null editdistance endswith equal_null exp extract factorial flatten floor get get_ignore_case
get_path getbit greatest greatest_ignore_nulls hash hex_decode_binary hex_decode_string hex_encode
hour iff ifnull ilike initcap is_array is_null_value jarowinkler_similarity json_extract_path_text
last_day least least_ignore_nulls left len length like ln log lower lpad ltrim map_cat
map_contains_key map_delete map_insert map_keys map_pick map_size md5 md5_binary md5_hex
md5_number_lower64 md5_number_upper64 minute mod month monthname months_between next_day nullif
nullifzero nvl nvl2 object_construct object_construct_keep_null object_insert object_keys
octet_length parse_json parse_url pi position pow power previous_day quarter radians regexp_count
regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr regexp_substr_all repeat
replace reverse right rlike round rpad rtrim rtrimmed_length second sha1 sha1_binary sha1_hex sha2
sha2_binary sha2_hex sign sin sinh soundex space split split_part split_to_table sqrt square
startswith strip_null_value strtok strtok_to_array substr substring tan tanh time time_from_parts
time_slice timeadd timediff timefromparts timestamp_from_parts timestamp_ltz
timestamp_ltz_from_parts timestamp_ntz timestamp_ntz_from_parts timestamp_tz
timestamp_tz_from_parts timestampadd timestampdiff timestampfromparts timestampltzfromparts
timestampntzfromparts timestamptzfromparts to_array to_binary to_boolean to_char to_date
to_decimal to_double to_json to_number to_numeric to_time to_timestamp to_timestamp_ltz
to_timestamp_ntz to_timestamp_tz to_varchar to_variant translate trim trunc truncate
try_base64_decode_binary try_base64_decode_string try_cast try_hex_decode_binary
try_hex_decode_string try_parse_json try_to_binary try_to_boolean try_to_date try_to_decimal
try_to_double try_to_number try_to_numeric try_to_time try_to_timestamp try_to_timestamp_ltz
try_to_timestamp_ntz try_to_timestamp_tz typeof unicode upper vector_inner_product
vector_l2_distance week weekiso weekofyear width_bucket year yearofweek yearofweekiso zeroifnull
"""
_DATABRICKS = """
abs acos acosh add_months aggregate array array_append array_compact array_contains array_distinct
array_except array_insert array_intersect array_join array_max array_min array_position
array_prepend array_remove array_size array_sort arrays_zip ascii asin asinh atan atan2 atanh
base64 bigint bin binary bit_count bit_get bit_length boolean cast cbrt ceil ceiling char
char_length character_length charindex chr coalesce collate concat concat_ws contains
convert_timezone cos cosh cot csc date date_add date_diff date_format date_from_unix_date
date_part date_sub date_trunc dateadd datediff datepart day dayname dayofmonth dayofweek dayofyear
decimal decode degrees div double element_at elt encode endswith equal_null exp explode
explode_outer extract factorial filter flatten float floor format_string from_json from_unixtime
from_utc_timestamp get_json_object getbit greatest hash hex hour if iff ifnull ilike initcap
inline inline_outer instr int isnan isnotnull isnull json_array_length json_object_keys last_day
lcase least left len length levenshtein like ln locate log log10 log2 lower lpad ltrim make_date
make_interval make_time make_timestamp map map_contains_key map_from_arrays map_from_entries
map_keys map_values md5 minute mod month monthname months_between named_struct nanvl next_day
nullif nullifzero nvl nvl2 overlay parse_json parse_url pi pmod posexplode posexplode_outer
position pow power printf quarter radians reduce regexp_count regexp_extract regexp_extract_all
regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right rint rlike
round rpad rtrim sec second sha sha1 sha2 shiftleft shiftright sign signum sin sinh size slice
smallint sort_array soundex space split split_part sqrt startswith str_to_map string struct substr
substring substring_index tan tanh time time_bucket time_diff time_trunc timestamp timestamp_add
timestamp_diff timestamp_micros timestamp_millis timestamp_seconds timestampadd timestampdiff
tinyint to_binary to_char to_date to_json to_number to_timestamp to_timestamp_ltz to_timestamp_ntz
to_unix_timestamp to_utc_timestamp to_varchar transform translate trim trunc try_add try_cast
try_divide try_element_at try_multiply try_subtract try_to_date try_to_number try_to_timestamp
typeof ucase unbase64 unhex unix_date unix_micros unix_millis unix_seconds unix_timestamp upper
url_decode url_encode weekday weekofyear width_bucket xxhash64 year zeroifnull
"""
_AGGREGATES = """
any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and
bit_or bit_xor bitstring_agg bool_and bool_or booland_agg boolor_agg collect_list collect_set corr
count count_if count_star countif covar_pop covar_samp cume_dist dense_rank entropy favg first
first_value fsum group_concat histogram histogram_exact json_group_array json_group_object
json_group_structure kahan_sum kurtosis kurtosis_pop lag last last_value lead list listagg lttb
mad max max_by mean median min min_by mode nth_value ntile percent_rank percentile_cont
percentile_disc product quantile quantile_cont quantile_disc rank regr_avgx regr_avgy regr_count
regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile row_number sem
skewness std stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan var_pop
var_samp variance
"""
"""The proof recognises aggregates by the parser's class, so their names are known to all."""
_WORDS = """
all and any as between by case char character cube decimal dec distinct else end exclude except
exists filter for from full group grouping having ilike in inner intersect interval is join like
limit match_condition materialized natural not nullif number numeric nvarchar object offset on or
order outer over partition pivot qualify recursive rename replace rlike rollup sample select semi
sets some string struct table tablesample text then time timestamp top union unpivot using values
varbinary varchar vector when where window with within
"""
"""Keywords of SQL, and types with a precision, that may precede a parenthesis."""
_SHARED = f"{_AGGREGATES} {_WORDS}"
KNOWN = {
    "duckdb": frozenset(f"{_DUCKDB} {_SHARED}".split()),
    "snowflake": frozenset(f"{_SNOWFLAKE} {_SHARED}".split()),
    "databricks": frozenset(f"{_DATABRICKS} {_SHARED}".split()),
}
"""By dialect: functions of one row, aggregates, and keywords that may precede a parenthesis."""
# A name is tried once, from its first character and as a whole, and the text before it is only
# looked at where a parenthesis follows: otherwise the search takes ten times as long.
_CALL = re.compile(r"""(?<![\w$])([\w$]++)(["`]?)\s*\(""")
_COMMENTS = ("--", "/*", "//", "#")


def macros(warehouse: Warehouse) -> frozenset[str]:
    """Return the names of users' functions that hide builtin ones: only DuckDB's macros do."""
    if warehouse.dialect != "duckdb":
        return frozenset()
    query = (
        "SELECT DISTINCT lower(function_name) AS name FROM duckdb_functions() WHERE NOT internal"
    )
    return frozenset(row["name"] for batch in warehouse.fetch(query) for row in batch.to_pylist())


class Call(NamedTuple):
    """A call of a function: its name in small letters, and its line in the text (from 1)."""

    name: str
    line: int


def unknown_calls(
    sql: str, tree: exp.Expr, dialect: str, hidden: Collection[str] = ()
) -> list[Call]:
    """Return the first call of each function that is not known to be the warehouse's own.

    Args:
        sql: a text.
        tree: what it parses to.
        dialect: of the text.
        hidden: names of users' functions that hide functions of the warehouse (see `macros`).
    """
    known = (
        frozenset(name for name in KNOWN[dialect] if name not in hidden)
        if hidden
        else KNOWN[dialect]
    )
    if not any(mark in sql for mark in _COMMENTS) and all(
        call[1].lower() in known
        and not call[2]
        and sql[: call.start()].rstrip()[-1:] not in (".", ":", '"', "`")
        for call in _CALL.finditer(sql)
    ):
        return []  # most texts: they need not be tokenized
    # `t(a, b)` after FROM names a table's columns; it is not a call.
    named = Counter(
        alias.this.name.lower()
        for alias in tree.find_all(exp.TableAlias)
        if alias.this and alias.args.get("columns")
    )
    calls: dict[str, Call] = {}
    tokens: list[Token] = sqlglot.tokenize(sql, dialect=dialect)
    for index, (token, following) in enumerate(pairwise(tokens)):
        name = token.text.lower()
        if following.token_type is not TokenType.L_PAREN or not re.fullmatch(r"[\w$]+", name):
            continue
        if token.token_type in {TokenType.STRING, TokenType.NUMBER}:
            continue
        qualified = index > 0 and tokens[index - 1].token_type is TokenType.DOT
        # A function with a schema before its name is a user's own, whatever its name.
        if name in known and not qualified:
            continue
        if named[name] and not qualified:
            named[name] -= 1
            continue
        calls.setdefault(name, Call(name, token.line))
    return list(calls.values())
