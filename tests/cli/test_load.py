"""`plane load`: a file becomes a table of the embedded warehouse, exactly as it is named."""

from __future__ import annotations

import pytest

from controlplane import ControlPlane
from tests.shop import Shop


def test_a_file_is_loaded(shop: Shop):
    shop.plane("query", "SELECT * FROM raw.payments ORDER BY amount", "-o", "p.parquet")
    shop.plane("query", "SELECT * FROM raw.payments ORDER BY amount", "-o", "p.csv")
    (shop.folder / "it's.json").write_text('{"a": 1, "at": "2024-01-01 00:00:00"}\n{"a": null}\n')
    found = shop.plane("load", "p.parquet", "landed.payments", "--json").json
    columns = {"user_id": "int64", "paid_at": "timestamp", "amount": "int64", "country": "string"}
    assert found == {"table": "landed.payments", "row_count": 4, "columns": columns}
    done = shop.plane("load", "p.csv", "landed.other")
    assert done.out.startswith("loaded 4 rows into landed.other\n")
    equal = "SELECT * FROM landed.payments EXCEPT SELECT * FROM landed.other"
    assert shop.sql(equal) == []
    with ControlPlane(shop.folder) as plane:
        assert plane.load(shop.folder / "it's.json", "landed.json").row_count == 2
        assert plane.query("SELECT sum(a)::BIGINT AS a FROM landed.json").head() == [{"a": 1}]
    # Nulls and empty texts come back as they were.
    odd = "SELECT * FROM (VALUES (1, ''), (2, NULL), (3, 'it''s, \"x\"')) AS v(n, s) ORDER BY n"
    shop.plane("query", odd, "-o", "odd.csv")
    shop.plane("load", "odd.csv", "landed.odd")
    assert shop.sql("SELECT * FROM landed.odd ORDER BY n") == shop.sql(odd)
    assert "replace its rows with --replace" in shop.fails("load", "p.csv", "landed.json")
    shop.plane("load", "p.csv", "landed.json", "--replace")
    assert shop.sql("SELECT count(*) FROM landed.json") == [(4,)]


def test_a_file_is_found_by_its_name_alone(shop: Shop):
    """DuckDB takes wildcards in a path for a pattern, and a folder `x=y` for a column."""
    names = ["sp[1].csv", "gl*.csv", "q?.csv", "**.csv", "[!a].csv", "{a,b}.csv", "x=y/[ab]/f.csv"]
    for name in ["sp1.csv", "glx.csv", "qx.csv", "b.csv", "x=y/a/f.csv", *names]:
        (shop.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shop.folder / name).write_text(f'name\n"{name if name in names else "another"}"\n')
    with ControlPlane(shop.folder) as plane:
        for name in names:
            loaded = plane.load(shop.folder / name, "raw.named", replace=True)
            assert dict(loaded.columns) == {"name": "string"}
            assert plane.query("SELECT name FROM raw.named").head() == [{"name": name}]


def test_every_line_of_a_csv_file_is_loaded(shop: Shop):
    files = {
        "numbers.csv": ("1,2\n3,4\n", {"1": [3], "2": [4]}),
        "odd_row.csv": ("a,b\n,\nfoo,1\n2,3\n", {"a": [None, "foo", "2"], "b": [None, 1, 3]}),
        "semicolons.csv": ('"a;b";c\n1,5;2\n', {"a;b": ["1,5"], "c": [2]}),
        "mark.csv": ('\ufeff"a",b\n1,2\n', {"a": [1], "b": [2]}),
        "header.csv": ("a,b\n", {"a": [], "b": []}),
        "tabs.csv": ("a\tb\n#1\t'2'\n", {"a": ["#1"], "b": ["'2'"]}),
    }
    with ControlPlane(shop.folder) as plane:
        for name, (text, columns) in files.items():
            (shop.folder / name).write_text(text, encoding="utf-8")
            plane.load(shop.folder / name, "raw.lines", replace=True)
            assert plane.query("SELECT * FROM raw.lines").to_arrow().to_pydict() == columns


ODD_FILES = {
    "empty.csv": "",
    "empty.json": "",
    "latin.csv": "\xe9\n1\n",
    "blank.csv": "\n\na,b\n1,2\n",
    "repeated.csv": "a,A\n1,2\n",
    "unnamed.csv": "a,\n1,2\n",
    "title.csv": "Report of today\na,b\n1,2\n",
    "short.csv": "a,b\n1\n2,3\n",
    "long.csv": "a,b\n1,2,3\n4,5\n",
}


@pytest.mark.parametrize(
    ("file", "table", "words"),
    [
        ("p.csv", "payments", "is not the name of a table in a schema"),
        ("p.csv", "features.payments", "is for tables that controlplane writes"),
        ("p.csv", "_plane.ledger", "is for tables that controlplane writes"),
        ("p.csv", "datasets.one__v1", "is for tables that controlplane writes"),
        ("p.csv", "_Plane.ledger", "is for tables that controlplane writes"),
        ("p.csv", "DATASETS.one__v1", "is for tables that controlplane writes"),
        ("p.csv", '"Features".payments', "is for tables that controlplane writes"),
        ("p.txt", "raw.p", "unknown file format '.txt': p.txt"),
        ("none.csv", "raw.p", "there is no file none.csv"),
        ("folder.csv", "raw.p", "folder.csv is a folder"),
        ("empty.csv", "raw.p", "empty.csv is empty"),
        ("empty.json", "raw.p", "empty.json is empty"),
        ("latin.csv", "raw.p", "latin.csv: it is not UTF-8 text"),
        ("blank.csv", "raw.p", "blank.csv: its first line is empty"),
        ("repeated.csv", "raw.p", "two of its columns have one name: 'a' and 'A'"),
        ("unnamed.csv", "raw.p", "unnamed.csv: column 2 has no name"),
        ("title.csv", "raw.p", "as many fields as its first line"),
        ("short.csv", "raw.p", "as many fields as its first line"),
        ("long.csv", "raw.p", "as many fields as its first line"),
        ("broken.parquet", "raw.p", "load broken.parquet: "),
    ],
)
def test_a_file_that_can_not_be_loaded_is_refused(shop: Shop, file: str, table: str, words: str):
    for name in ("p.csv", "p.txt", "broken.parquet"):
        (shop.folder / name).write_text("a\n1\n")
    for name, text in ODD_FILES.items():
        (shop.folder / name).write_text(text, encoding="latin-1")
    (shop.folder / "folder.csv").mkdir()
    assert words in shop.fails("load", file, table)
    assert shop.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name IN ('p', 'ledger')") == [
        (0,)
    ]
