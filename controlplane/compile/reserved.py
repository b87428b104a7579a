"""Reserved words of SQL: they can't name a source, which SQL reads by its name without quotes."""

from __future__ import annotations

from functools import lru_cache

import sqlglot
from sqlglot import exp

# Of DuckDB 2.0's `duckdb_keywords()`, those that it refuses as the name of a common table. Of the
# other two, their documented reserved words, without those that they accept as such a name. The
# parser below is no substitute: it accepts some names that a warehouse refuses.
_RESERVED = {
    "duckdb": """
        all analyse analyze and anti any array as asc asof asymmetric at authorization binary both
        by case cast check collate collation column concurrently constraint create cross default
        deferrable desc describe distinct do else end except false fetch for foreign freeze from
        full glob group having ilike in initially inner intersect into is isnull join lambda lateral
        leading left like limit natural not notnull null offset on only or order outer overlaps
        pivot pivot_longer pivot_wider placing positional primary qualify recursive references
        returning right select semi show similar some summarize symmetric table tablesample then to
        trailing true union unique unpack unpivot using variadic verbose when where window with
    """,
    "snowflake": """
        all alter and any as between by case cast check column connect constraint create cross
        current delete distinct drop else exists false following for from full grant group having
        ilike in increment inner insert intersect into is join lateral left like minus natural not
        null of on or order qualify regexp revoke right rlike row rows sample select set some start
        table tablesample then to trigger true try_cast union unique update using values when
        whenever where with
    """,
    "databricks": """
        anti cross default except false full inner intersect join lateral left minus natural null on
        right semi some true union using
    """,
}


@lru_cache
def is_reserved(name: str, dialect: str) -> bool:
    """Tell whether `FROM name` can't read a table because the name is a word of SQL."""
    if name.lower() in _RESERVED.get(dialect, "").split():
        return True
    try:
        parsed = sqlglot.parse_one(
            f"WITH {name} AS (SELECT 1 AS x) SELECT x FROM {name}", dialect=dialect
        )
    except sqlglot.errors.SqlglotError:
        return True
    # The parser may also read the name as a function or a clause.
    return [table.name for table in parsed.find_all(exp.Table)] != [name]
