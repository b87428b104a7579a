"""The statements of a run as queries over nothing, so that a warehouse can check them before it
holds their tables.

Each table that a run reads or writes stands in as an empty one of its columns, the stage as the
query that fills it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controlplane.base.ports import Statement

_MADE = r"CREATE (?:OR REPLACE )?(?:TRANSIENT )?TABLE (?:IF NOT EXISTS )?(\S+)"
_TABLE = re.compile(rf"{_MADE} \(\n(.*)\n\)(?: PARTITIONED BY \(\w+\))?", re.DOTALL)
_SELECTED = re.compile(rf"{_MADE} AS\n(.*)", re.DOTALL)
_COLUMN = re.compile(
    r'^  ((?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\w+)) (.+?)(?: NOT NULL)?,?$', re.MULTILINE
)
_QUERIES = (
    (re.compile(r"INSERT [^\n]*\n(.*)", re.DOTALL), r"\1"),
    (re.compile(r"CREATE OR REPLACE VIEW [^\n]* AS\n(SELECT\s.*)", re.DOTALL), r"\1"),
    (re.compile(r"DELETE FROM (.*)", re.DOTALL), r"SELECT 1 AS one FROM \1"),
    (re.compile(r"MERGE INTO (.*?) USING \((.*)\) AS (\w+)\s+ON (.*?)\nWHEN .*", re.DOTALL),
     r"SELECT 1 AS one FROM \1 JOIN (\2) AS \3 ON \4"),
    (re.compile(r"(SELECT\s.*)", re.DOTALL), r"\1"),
)  # fmt: skip


def rehearsed(setup: Iterable[Statement], statements: Iterable[Statement]) -> list[Statement]:
    """The queries in `statements`, which are to be run in order after `setup`, over the tables that
    both make.

    An UPDATE has none; of a MERGE it is what is matched, of CREATE TABLE ... AS what stands in.
    Nothing is open in the texts.
    """
    stand_ins: dict[str, str] = {}
    queries: list[Statement] = []
    for statement in (*setup, *statements):
        if found := _SELECTED.fullmatch(statement.sql):
            stand_ins[found[1]] = found[2]
        elif found := _TABLE.fullmatch(statement.sql):
            nulls = (f"CAST(NULL AS {kind}) AS {name}" for name, kind in _COLUMN.findall(found[2]))
            stand_ins[found[1]] = (
                f"SELECT {', '.join(nulls)} FROM (SELECT 1 AS one) AS single WHERE 1 = 0"
            )
    for statement in statements:
        query = next(
            (
                found.expand(form)
                for kind, form in _QUERIES
                if (found := kind.fullmatch(statement.sql))
            ),
            "",
        )
        if query:
            queries.append(statement._replace(sql=_over(query, stand_ins)))
    return queries


def _over(query: str, stand_ins: dict[str, str]) -> str:
    given = ""
    for place, (table, rows) in enumerate(stand_ins.items()):
        name = f"plane__stand_in_{place}"
        # Behind a point it is the end of another table's name.
        query, count = re.subn(rf"(?<!\.){re.escape(table)}", name, query)
        if count:
            given += f"{', ' if given else 'WITH '}{name} AS (\n{rows}\n)"
    return f"{given}\nSELECT * FROM (\n{query}\n) AS plane__rehearsed" if given else query
