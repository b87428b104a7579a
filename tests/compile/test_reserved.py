"""Case B15: names of sources that a warehouse would read as words of its SQL."""

from __future__ import annotations

import duckdb
import pytest

from controlplane.compile.reserved import is_reserved

PLAIN = ("payments", "account", "user_events", "orders", "database", "t", "x1")


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "databricks"])
def test_b15_plain_names_are_taken_and_words_of_sql_are_not(dialect):
    assert [name for name in PLAIN if is_reserved(name, dialect)] == []
    assert [
        name
        for name in ("from", "SELECT", "union", "join", "left", "values")
        if not is_reserved(name, dialect)
    ] == []


def test_b15_every_name_that_duckdb_refuses_is_refused():
    with duckdb.connect() as connection:
        for (word,) in connection.execute(
            "SELECT DISTINCT keyword_name FROM duckdb_keywords()"
        ).fetchall():
            if not is_reserved(word, "duckdb"):
                connection.execute(
                    f"WITH {word} AS (SELECT 1 AS x) SELECT x FROM {word}"
                ).fetchall()
