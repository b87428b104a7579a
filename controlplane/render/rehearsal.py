"""The statements of a run as queries over nothing, so that a warehouse can check them before it holds their tables.

Each table that a run reads or writes stands in as an empty one of its columns, the stage as the query that fills it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controlplane.ports import Statement

_MADE = r"CREATE (?:OR REPLACE )?(?:TRANSIENT )?TABLE (?:IF NOT EXISTS )?(\S+)"
_TABLE = re.compile(rf"{_MADE} \((.*?)\)(?: PARTITIONED BY \(\w+\))?", re.DOTALL)
_FILLED = re.compile(rf"{_MADE} AS\n(.*)", re.DOTALL)
_COLUMN = re.compile(r"(\S+) (.+?)(?: NOT NULL)?")
_BETWEEN = re.compile(r",\s*\n|, (?=\w+ \w+ NOT NULL)")
_QUERIES = (
    (re.compile(r"INSERT [^\n]*\n(.*)", re.DOTALL), r"\1"),
    (re.compile(r"CREATE OR REPLACE VIEW [^\n]* AS\n(SELECT\s.*)", re.DOTALL), r"\1"),
    (re.compile(r"DELETE FROM (.*)", re.DOTALL), r"SELECT 1 AS one FROM \1"),
    (re.compile(r"MERGE INTO (.*?) USING \((.*)\) AS (\w+)\s+ON (.*?)\nWHEN .*", re.DOTALL),
     r"SELECT 1 AS one FROM \1 JOIN (\2) AS \3 ON \4"),
    (re.compile(r"(SELECT\s.*)", re.DOTALL), r"\1"),
)  # fmt: skip


def rehearsed(setup: Iterable[Statement], statements: Iterable[Statement]) -> list[Statement]:
    """The queries in `statements`, which are to be run in order after `setup`, over the tables that both make.

    An UPDATE has none, and what fills a table is the query that stands in for it. Nothing is open in the texts.
    """
    stand_ins: dict[str, str] = {}
    queries: list[Statement] = []
    for statement in (*setup, *statements):
        if found := _FILLED.fullmatch(statement.sql):
            stand_ins[found[1]] = found[2]
        elif found := _TABLE.fullmatch(statement.sql):
            stand_ins[found[1]] = _empty(found[2])
    for statement in statements:
        query = next((found.expand(form) for kind, form in _QUERIES if (found := kind.fullmatch(statement.sql))), "")
        if query:
            queries.append(statement._replace(sql=_over(query, stand_ins)))
    return queries


def _empty(columns: str) -> str:
    found = (_COLUMN.fullmatch(column.strip()) for column in _BETWEEN.split(columns.strip()))
    nulls = (f"CAST(NULL AS {one[2]}) AS {one[1]}" for one in found if one)
    return f"SELECT {', '.join(nulls)} FROM (SELECT 1 AS one) AS single WHERE 1 = 0"


def _over(query: str, stand_ins: dict[str, str]) -> str:
    names = {table: f"plane__stand_in_{place}" for place, table in enumerate(stand_ins)}
    used = [table for table in stand_ins if table in query]
    if not used:
        return query
    for table in used:
        query = query.replace(table, names[table])
    given = ",\n".join(f"{names[table]} AS (\n{stand_ins[table]}\n)" for table in used)
    return f"WITH {given}\nSELECT * FROM (\n{query}\n) AS plane__rehearsed"
