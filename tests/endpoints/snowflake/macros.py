"""Functions of Snowflake's that DuckDB has not, or has with another meaning, as macros of a
session.

`cast_to_type(value, example)` gives the value the type that DuckDB finds for the example: so the
kind of a result follows the kind of the arguments, as Snowflake's does.
"""

import re

MACROS = """
sf_div(a, b) := cast_to_type(CASE WHEN b = 0 THEN error('Division by zero') ELSE a::DOUBLE / b::DOUBLE END,
    CASE WHEN false THEN a * 0.000001::DECIMAL(38,6) + b ELSE 0::DECIMAL(7,6) END)
sf_mod(a, b) := CASE WHEN b = 0 THEN error('Division by zero') ELSE a % b END
sf_div0(a, b) := CASE WHEN b = 0 THEN 0 ELSE sf_div(a, b) END
sf_average(mean, example) := cast_to_type(mean,
    CASE WHEN false THEN example * 0.000001::DECIMAL(38,6) ELSE 0::DECIMAL(7,6) END)
sf_floor(x) := cast_to_type(floor(x), round(x))
sf_ceil(x) := cast_to_type(ceil(x), round(x))
sf_sign(x) := sign(x)::HUGEINT
sf_integer(x) := CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN round(x::DOUBLE)::HUGEINT ELSE x::HUGEINT END
sf_text(x) := CASE typeof(x)
    WHEN 'DOUBLE' THEN regexp_replace(x::VARCHAR, '[.]0$', '')
    WHEN 'TIMESTAMP' THEN strftime(try_cast(x::VARCHAR AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%g')
    WHEN 'BLOB' THEN hex(try_cast(x AS BLOB))
    ELSE x::VARCHAR END
sf_binary(x) := CASE WHEN typeof(x) = 'BLOB' THEN try_cast(x AS BLOB) ELSE unhex(x::VARCHAR) END
sf_hex_number(x) := ('0x' || x)::HUGEINT
sf_item(a, i) := CASE WHEN i >= 0 THEN a[(i + 1)::BIGINT] END
sf_place(a, i) := CASE WHEN i < 0 THEN greatest(len(a) + i, 0) ELSE i END::BIGINT
sf_slice(a, i, j) := CASE WHEN sf_place(a, j) > sf_place(a, i) THEN a[sf_place(a, i) + 1 : sf_place(a, j)]
    WHEN a IS NOT NULL AND i IS NOT NULL AND j IS NOT NULL THEN a[1:0] END
sf_distinct(a) := CASE WHEN len(a) > list_count(a) THEN list_append(list_distinct(a), NULL) ELSE list_distinct(a) END
sf_position(x, a) := CASE WHEN x IS NULL THEN NULL ELSE nullif(coalesce(list_position(a, x), 0) - 1, -1) END::HUGEINT
sf_contains(x, a) := CASE WHEN a IS NULL THEN NULL WHEN x IS NULL THEN len(a) > list_count(a)
    ELSE list_contains(a, x) END
sf_flatten(a) := CASE WHEN len(a) > list_count(a) THEN NULL ELSE flatten(a) END
sf_weeks(a, b) := date_diff('day', date_trunc('week', a::TIMESTAMP), date_trunc('week', b::TIMESTAMP)) // 7
sf_start(s) := CASE WHEN s = 0 THEN 1 ELSE s END::BIGINT
"""


def definitions() -> str:
    """The statements that make the macros in a session."""
    joined = MACROS.replace("\n    ", " ").strip().splitlines()
    return "".join(f"CREATE TEMP MACRO {_definition(*line.split(' := '))};\n" for line in joined)


def _definition(head: str, body: str) -> str:
    """A macro that takes its arguments apart before its body, which names them more than once.

    Nested macros would multiply what they are given into thousands of copies.
    """
    name, _, listed = head.rstrip(")").partition("(")
    arguments = listed.split(", ")
    if all(len(re.findall(rf"\b{one}\b", body)) < 2 for one in arguments):
        return f"{head} AS {body}"
    packed = ", ".join(f"'{one}': {one}" for one in arguments)
    inner = re.sub(rf"\b({'|'.join(arguments)})\b", rf"{name}_given.\1", body)
    return f"{head} AS list_transform([{{{packed}}}], lambda {name}_given: {inner})[1]"
