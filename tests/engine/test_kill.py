"""A run that is killed before any of its statements leaves all or nothing, and the next run mends
it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view
from controlplane.base.naming import PARTS
from controlplane.release.program import to_json
from tests.children import CHILDREN
from tests.engine import victim
from tests.engine.rig import Rig, interval, micros

DAY = 86_400_000_000
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT", "word": "VARCHAR"}


@batch_feature_view(
    entities=[Entity("thing", keys={"k": "string"}, owner="team")],
    sources=[BatchSource("events", table="raw.events", timestamp="ts", settling_delay="2h")],
    features=[Aggregate("sum", "amt", windows=["1d", "2d"]), Attribute("word", "string")],
    schedule="1d",
    aggregation_interval="12h",
    start="2024-01-01",
    owner="team",
)
def subject(events):
    return f"SELECT * FROM {events}"


def rows(*some: tuple[str, str, int, str]) -> list[dict[str, Any]]:
    return [
        {"k": k, "ts": datetime.fromisoformat(f"2024-{ts}"), "amt": amt, "word": word}
        for k, ts, amt, word in some
    ]


BEFORE = rows(
    ("a", "01-01 01:00", 1, "x"),
    ("b", "01-01 02:00", 2, "y"),
    ("gone", "01-02 03:00", 4, "z"),
    ("a", "01-03 04:00", 8, "v"),
)
AFTER = rows(
    ("a", "01-01 01:00", 1, "x"),
    ("b", "01-01 02:00", 3, "w"),
    ("late", "01-02 13:00", 5, "u"),
    ("a", "01-03 04:00", 8, "v"),
)


def fresh(path: Path) -> Rig:
    """Nothing is computed yet."""
    return Rig(subject, COLUMNS, path=str(path), rows=BEFORE)


def corrected(path: Path) -> Rig:
    """All is computed, and then the raw rows are corrected: one late, one changed, one key gone."""
    rig = fresh(path)
    rig.materialize(START, START + 4 * DAY)
    rig.replace(AFTER)
    return rig


@pytest.mark.parametrize(("prepare", "last_day"), [(fresh, 1), (corrected, 2)])
def test_a_killed_run_is_mended_by_the_next(
    prepare: Callable[[Path], Rig], last_day: int, tmp_path: Path
) -> None:
    with prepare(tmp_path / "start.duckdb") as rig:
        program, sql = to_json(rig.program), rig.sql
        names = [f'features."subject__{part}__{rig.view.fingerprint}"' for part in PARTS]
        names += ["_plane.ledger", rig.program.head]
    span = interval(START, START + last_day * DAY)
    untouched = victim.tables(str(tmp_path / "start.duckdb"), names)
    shutil.copy(tmp_path / "start.duckdb", tmp_path / "whole.duckdb")
    statements = victim.compute(str(tmp_path / "whole.duckdb"), program, sql, span, -1)
    undisturbed = victim.tables(str(tmp_path / "whole.duckdb"), names)
    assert undisturbed != untouched
    assert undisturbed["stages"] == []
    assert len(statements) > 14
    commit = statements.index("COMMIT")
    ledger = undisturbed["_plane.ledger"]

    for number, statement in enumerate(statements):
        path = tmp_path / f"{number}.duckdb"
        shutil.copy(tmp_path / "start.duckdb", path)
        killed = CHILDREN.Process(
            target=victim.compute, args=(str(path), program, sql, span, number)
        )
        killed.start()
        killed.join(60)
        assert killed.exitcode == -signal.SIGKILL, statement
        left = victim.tables(str(path), names)
        ran = victim.compute(str(path), program, sql, span, -1)
        mended = victim.tables(str(path), names)
        committed = number > commit
        assert {**left, "stages": []} == (undisturbed if committed else untouched), statement
        assert ran == statements
        assert mended["stages"] == [], statement
        publications = mended.pop("_plane.ledger")
        # It keeps every publication, and this one happened twice.
        assert len(publications) == len(ledger) + committed
        assert all(row in ledger for row in publications), statement
        assert {**mended, "_plane.ledger": ledger} == undisturbed, statement
