"""Every control table is declared once, and the page about them lists what is declared."""

from __future__ import annotations

import re
from pathlib import Path

from controlplane.sql.control_tables import SHARED, ControlTable, head

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tables.md"
HEAD = head("<schema>", "<view>", "<fingerprint>")
RUN_TABLES = "_plane.stage__<view>__<digest>"


def sections() -> dict[str, str]:
    """Each table's name on the page, and what is said of it."""
    names_and_texts = re.split(
        r"^## `(.+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )[1:]
    return dict(zip(names_and_texts[::2], names_and_texts[1::2], strict=True))


def listed(text: str) -> list[tuple[str, str]]:
    """The columns of a section with their types."""
    return re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", text, flags=re.MULTILINE)


def declared(table: ControlTable) -> list[tuple[str, str]]:
    """The columns of a table with their types, as the page writes them."""
    return [
        (name, f"{kind}, may be null" if name in table.nullable else kind)
        for name, kind in table.columns.items()
    ]


def test_the_page_lists_every_table_with_its_columns() -> None:
    page = sections()
    tables = {table.plain: table for table in (*SHARED, HEAD)}
    assert {name: listed(text) for name, text in page.items() if name != RUN_TABLES} == {
        name: declared(table) for name, table in tables.items()
    }
    assert RUN_TABLES in page


def test_the_page_says_what_reads_each_table() -> None:
    assert [name for name, text in sections().items() if not re.search(r"\breads?\b", text)] == [
        RUN_TABLES
    ]


def test_no_other_module_names_a_control_table() -> None:
    named = re.compile(r"CONTROL_SCHEMA\)?\}\.|qualified\([^)]*CONTROL_SCHEMA|[\"']_plane[\"']?\.")
    modules = {
        path.relative_to(ROOT).as_posix()
        for folder in ("controlplane", "dag_templates")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in {".py", ".j2"} and named.search(path.read_text(encoding="utf-8"))
    }
    assert modules == {"controlplane/sql/control_tables.py"}
