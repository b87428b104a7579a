"""The manifest: one JSON form, equal bytes for equal definitions, and a fingerprint of what decides
values alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from controlplane.errors import PlaneError
from controlplane.manifest.specs import FORMAT, Manifest, StaticViewSpec
from controlplane.manifest.stored import from_json, to_json
from controlplane.release.variables import RunVariables, fill
from controlplane.sql.statements import read
from tests.compile.golden import FOLDER, texts
from tests.compile.projects import TABLES, compiled

SHOP = (FOLDER / "shop.py").read_text(encoding="utf-8")


def manifest_of(folder: Path, *changes: tuple[str, str]) -> Manifest:
    """The golden project with some of its text replaced."""
    text = SHOP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "shop.py").write_text(text, encoding="utf-8")
    return compiled(folder, ["shop.py"])


def fingerprint(folder: Path, *changes: tuple[str, str]) -> str:
    [view] = manifest_of(folder, *changes).views
    return view.fingerprint


UNMOVED = {
    "comment in the SQL": [("-- all of them", "-- those; of /* course */")],
    "white space in the SQL": [("SELECT * FROM {events}", "SELECT\\n  *\\n\\nFROM   {events}")],
    "case of keywords": [("SELECT * FROM", "select * from")],
    "white space in a condition": [("amt > 0", "amt  >  0 -- some")],
    "comment in the file": [("customer = Entity", "# who buys\n\ncustomer = Entity")],
    "owner": [("shop@example.com", "other@example.com")],
    "description of the view": [("What a customer bought lately.", "Purchases.")],
    "description of a feature": [("What was said last.", "Words.")],
    "description of the entity": [("Who buys.", "Buyers.")],
    "tags": [('"domain": "shop"', '"domain": "other", "cost": "low"')],
    "online": [('start="2024-01-01"', 'start="2024-01-01", online=False')],
    "shards of a sync": [('start="2024-01-01"', 'start="2024-01-01", sync_shards=8')],
    "tasks of a run": [('start="2024-01-01"', 'start="2024-01-01", tasks="view"')],
    "end": [('start="2024-01-01"', 'start="2024-01-01", end="2025-01-01"')],
    "spelling of a duration": [('schedule="1h"', 'schedule="60m"')],
    "the service": [('"count_1h", "last_word"', '"count_1h"')],
}
MOVED = {
    "the SQL": [("SELECT * FROM {events}", "SELECT * FROM {events} WHERE amt > 1")],
    "a literal's white space": [
        ("SELECT * FROM {events}", "SELECT * FROM {events} WHERE word <> 'a  b'")
    ],
    "a literal": [("SELECT * FROM {events}", "SELECT * FROM {events} WHERE word <> 'a b'")],
    "a condition": [("amt > 0", "amt > 1")],
    "a window": [('windows=["1h", "1d"]', 'windows=["1h", "2d"]')],
    "another window": [('windows=["1h", "1d"]', 'windows=["1h", "1d", "2d"]')],
    "an offset": [('offset="-1d"', 'offset="-1h"')],
    "a function": [('"mean", "price"', '"max", "price"')],
    "a column": [('"sum", "cost"', '"sum", "amt"')],
    "a feature's name": [
        ('"last_word", "string"', '"the_word", "string"'),
        (', "last_word")', ")"),
    ],
    "a feature's column": [('column="word", ', 'column="k", ')],
    "schedule": [('schedule="1h"', 'schedule="2h"')],
    "tile": [('aggregation_interval="30m"', 'aggregation_interval="15m"')],
    "start": [('start="2024-01-01"', 'start="2024-01-02"')],
    "delay": [('settling_delay="30m"', 'settling_delay="31m"')],
    "tie breaker": [('tie_breaker=["amt"]', "tie_breaker=[]")],
    "event time": [
        ("SELECT * FROM {events}", "SELECT *, ts AS other FROM {events}"),
        ('start="2024-01-01"', 'start="2024-01-01", timestamp="other"'),
    ],
    "key": [('{"k": "string"}', '{"word": "string"}')],
    "the view's name": [("purchases", "orders")],
}


@pytest.mark.parametrize("what", UNMOVED)
def test_the_fingerprint_stays(what: str, tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b", *UNMOVED[what])


def test_the_fingerprint_moves_with_all_that_changes_values(tmp_path: Path) -> None:
    found = {what: fingerprint(tmp_path, *changes) for what, changes in MOVED.items()} | {
        "": fingerprint(tmp_path)
    }
    assert len(set(found.values())) == len(found), found


def test_a_ttl_moves_the_fingerprint(tmp_path: Path) -> None:
    start = SHOP.index("        Aggregate(")
    rows_only = (SHOP[start : SHOP.index("        Attribute(")], ""), ('"count_1h", ', "")
    ttl = ('start="2024-01-01"', 'start="2024-01-01", ttl="2h"')
    assert fingerprint(tmp_path, *rows_only) != fingerprint(tmp_path, *rows_only, ttl)


def test_it_survives_json(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    text = to_json(manifest)
    assert from_json(text) == manifest
    assert to_json(from_json(text)) == text


@pytest.mark.parametrize("form", range(1, FORMAT))
def test_a_manifest_of_an_earlier_format_is_read_as_what_it_says_today(
    form: int, tmp_path: Path
) -> None:
    text = (FOLDER / "stored" / f"manifest_{form}.json").read_text(encoding="utf-8")
    manifest, old = manifest_of(tmp_path), from_json(text)
    assert old.view("purchases").location == manifest.view("purchases").location
    assert to_json(old) == to_json(manifest)


def test_a_view_without_an_event_time_is_read_as_a_static_one(tmp_path: Path) -> None:
    tree = json.loads(to_json(manifest_of(tmp_path)))
    for view in tree["views"]:
        del view["kind"]
        view["timestamp"] = None
    manifest = from_json(json.dumps({**tree, "format": 2}))
    assert {type(view) for view in manifest.views} == {StaticViewSpec}


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    later = to_json(manifest_of(tmp_path)).replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}')
    with pytest.raises(PlaneError, match="a later version deployed this project"):
        from_json(later)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"project": 1}'])
def test_a_text_that_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(PlaneError, match="the recorded manifest can't be read"):
        from_json(text)


def test_what_it_lacks_is_named(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    assert manifest.view("purchases").name == "purchases"
    assert manifest.service("basket").features == (
        ("purchases", "count_1h"),
        ("purchases", "last_word"),
    )
    with pytest.raises(
        PlaneError, match=r"there is no feature view 'nope'\n  -> choose from: purchases"
    ):
        manifest.view("nope")
    with pytest.raises(
        PlaneError, match=r"there is no feature service 'nope'\n  -> choose from: basket"
    ):
        manifest.service("nope")


def test_rendered_texts_are_the_golden_ones() -> None:
    rendered = texts()
    assert rendered == {name: (FOLDER / name).read_text(encoding="utf-8") for name in rendered}
    beside = {path.name for path in FOLDER.iterdir() if path.suffix in {".sql", ".json"}}
    assert beside == set(rendered)


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert texts() == texts()


def digest(seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-m", "tests.compile.golden"]
    return subprocess.run(
        program, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_another_process_gives_the_same_bytes() -> None:
    assert len({digest(seed) for seed in ("1", "2", "12345")}) == 1


def filled(name: str) -> Sequence[str]:
    """The statements of a golden file, with what a run decides put in."""
    text = (FOLDER / f"purchases.{name}.sql").read_text(encoding="utf-8")
    never = ("9999-01-01 00:00:00", "9999-01-01 00:00:00")
    variables = RunVariables(
        start="2024-01-01 00:00:00",
        end="2024-01-01 01:00:00",
        read_start="2023-12-30 00:00:00",
        stage="stage__purchases__1",
        run_id="it''s one",
        intervals="1",
        cover=[(0, "2024-01-01 00:00:00", "2024-01-01 01:00:00")],
        cover_tiles=[never],
        cover_rollups=[never],
        steps=[],
    )
    text = fill(text, variables)
    return [statement.sql for statement in read(text)] or [text]


def test_the_golden_texts_run() -> None:
    connection = duckdb.connect(":memory:")
    for sql in TABLES:
        connection.execute(sql)
    connection.execute(
        "INSERT INTO raw.events VALUES ('a', '2024-01-01 00:30:00', 1, 2.5, 3.25, 'yes', 0)"
    )
    for name in ("setup", "stage", "publish", "doors", "unstage"):
        for sql in filled(name):
            connection.execute(sql).fetchall()
    found = connection.execute(
        "SELECT k, valid_from, count_1h, cost_sum_1d, last_word FROM features.purchases"
    ).fetchall()
    assert [(*row[:1], str(row[1]), row[2], str(row[3]), row[4]) for row in found] == [
        ("a", "2024-01-01 01:30:00", 1, "3.25", "yes")
    ]
    [sync] = filled("sync")
    assert len(connection.execute(sync).fetchall()) == 1
    connection.close()
