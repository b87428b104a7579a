"""The files of a release are read back as the statements that were rendered, also those of earlier
versions."""

from __future__ import annotations

import re

import msgspec
import pytest

from controlplane.base.types import Interval
from controlplane.release.program import build
from controlplane.release.variables import fill, run_variables
from controlplane.sql.statements import read
from controlplane.sql.views import FILES, render_view
from tests.compile.golden import FOLDER
from tests.compile.projects import compiled

HEADER = re.compile(r"-- @(?!statement: ).*\n")


@pytest.fixture(scope="module", params=["duckdb", "snowflake", "databricks"])
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    """The files of the golden view, with the variables of a run."""
    manifest = msgspec.structs.replace(compiled(FOLDER, ["shop.py"]), dialect=request.param)
    [view] = manifest.views
    program, rendered = build(manifest, view), render_view(manifest, view)
    variables = run_variables(program, Interval(view.start, view.start + view.schedule), "run")
    return {name: fill(getattr(rendered, name), variables) for name in FILES if name != "sync"}


def lines(text: str) -> list[str]:
    """What of a file is sent to a warehouse, but for the ends of statements."""
    sent = (line.rstrip(";") for line in text.splitlines() if not line.startswith("-- @"))
    return [line for line in sent if line.strip()]


def test_nothing_of_a_file_is_lost(files):
    for text in files.values():
        assert lines("\n".join(statement.sql for statement in read(text))) == lines(text)


def test_every_statement_says_what_it_does(files):
    statements = [statement for text in files.values() for statement in read(text)]
    assert {s.kind for s in statements} >= {
        "create_table",
        "create_table_as",
        "create_view",
        "insert",
        "drop_table",
    }
    for statement in statements:
        assert statement.kind
        assert statement.target in statement.sql
        assert statement.query in statement.sql
        assert statement.condition in statement.sql
        if statement.kind in ("delete", "merge"):
            assert statement.condition.startswith("WHERE " if statement.kind == "delete" else "ON ")


def test_files_of_an_earlier_version_are_read(files):
    """Their statements have names alone."""
    for text in files.values():
        earlier = read(HEADER.sub("", text))
        assert [(one.name, one.sql) for one in earlier] == [
            (one.name, one.sql) for one in read(text)
        ]
        assert not any(one.kind or one.target or one.query or one.condition for one in earlier)


def test_a_comment_that_looks_like_a_mark_stays_text():
    [statement] = read(
        "-- @statement: count\n-- @select:\n-- @query\nSELECT 1 -- one\n-- @team: look here\n+ 1;\n"
    )
    assert statement.sql == "SELECT 1 -- one\n-- @team: look here\n+ 1"
    assert statement.query == statement.sql


def test_a_publication_reads_only_the_history_after_its_interval_begins(files):
    # Of an INSERT, only the query reads.
    read_texts = [
        (
            s.name,
            (s.query if s.kind == "insert" else s.sql).replace('"', "").replace("`", "").lower(),
        )
        for s in read(files["publish"])
    ]
    statements = [(name, sql) for name, sql in read_texts if "purchases__history__" in sql]
    # Values take effect after the interval begins: an older row of the history is never needed.
    bounded = re.compile(r"\bvalid_from > [^\n]*2024-01-01")
    assert statements
    assert [name for name, sql in statements if not bounded.search(sql)] == []


def test_a_statement_says_to_which_variant_it_belongs():
    text = """-- @statement: take
-- @update: t
-- @variant: next
UPDATE t SET x = 1
-- @condition
WHERE x = 0;
-- @statement: put
-- @insert: t
-- @query
SELECT 1;
"""
    taken, put = read(text)
    assert (taken.variant, taken.condition, taken.kind) == ("next", "WHERE x = 0", "update")
    assert (put.variant, put.query) == ("", "SELECT 1")
