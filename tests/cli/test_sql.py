"""`plane sql`: the statements of a view, as a deploy renders them."""

from __future__ import annotations

from controlplane import ControlPlane
from controlplane.sql.views import FILES
from tests.cli.terminal import shown
from tests.shop import Shop


def test_the_statements_are_those_of_the_release(shop: Shop):
    shop.plane("deploy", "--yes")
    [folder] = shop.folder.glob(".plane/airflow/local/dags/releases/*/sql")
    with ControlPlane(shop.folder) as plane:
        statements = plane.sql("spend")
        assert plane.sql("spend", "stage the interval's rows") == plane.sql("spend", "stage")
    assert list(dict.fromkeys(statement.task for statement in statements)) == list(FILES)
    for task in FILES:
        released = (folder / f"spend.{task}.sql").read_text()
        rendered = [statement for statement in statements if statement.task == task]
        assert len(rendered) == max(released.count("-- @statement: "), 1)
        # Without the marks of the parts, a line of the release is a line of the statement.
        lines = {line.rstrip(";") for line in released.splitlines()}
        assert all(set(statement.sql.splitlines()) <= lines for statement in rendered)


def test_it_is_printed_plain_and_as_json(shop: Shop):
    out = shop.plane("sql", "spend", "--statement", "stage").out
    assert out.startswith("-- stage: stage the interval's rows\nCREATE OR REPLACE TABLE")
    assert "{{ plane.start }}" not in out
    assert "{{ plane.read_start }}" in out
    assert "\x1b" not in out
    assert out.endswith(";\n")
    [found] = shop.plane("sql", "spend", "--statement", "stage", "--json").json
    assert found["task"] == "stage"
    assert f"-- stage: {found['name']}\n{found['sql']};\n" == out
    said = shop.fails("sql", "spend", "--statement", "none")
    assert "choose from: setup, 'create the schemas'" in said
    assert "there is no feature view 'spent'" in shop.fails("sql", "spent")


def test_a_terminal_shows_the_same_lines(shop: Shop):
    plain = shop.plane("sql", "spend", "--statement", "stage").out
    code, screen = shown(shop.folder, "sql", "spend", "--statement", "stage")
    assert code == 0
    # No line is cut or folded, however narrow the terminal is.
    assert [line.rstrip() for line in screen.splitlines()] == [
        line.rstrip() for line in plain.splitlines()
    ]
