"""A publication made of MERGEs, where nothing takes effect together: stopped anywhere, the same run
mends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlplane.base.ports import Warehouse
from controlplane.errors import TransientError
from tests.engine.engines import empty
from tests.engine.meddled import Meddled
from tests.engine.parity import content, opened
from tests.engine.rig import Rig, records
from tests.engine.test_kill import AFTER, BEFORE, COLUMNS, DAY, START, subject

LAST = 15
"""More statements than a run has: two of the stage, ten of the publication, two of the end."""


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    with opened("snowflake") as (warehouse, _):
        yield warehouse


def stopped(rig: Rig, start: int, end: int, last: int) -> list[str]:
    """Run an interval that ends after so many statements; those that ran."""
    whole = rig.warehouse
    rig.warehouse = meddled = Meddled(whole, last=last)
    try:
        rig.materialize(START + start * DAY, START + end * DAY)
    except TransientError:
        pass
    finally:
        rig.warehouse = whole
    return meddled.names


def test_a_correction_that_was_stopped_is_mended(warehouse):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    rig.materialize(START, START + 4 * DAY)
    before = content(rig)
    rig.replace(AFTER)
    rig.materialize(START, START + 4 * DAY)
    wanted = [(BEFORE, before), (AFTER, content(rig))]
    assert before["history"] != wanted[1][1]["history"]
    ran: list[str] = []
    for last in range(1, LAST):
        rows, right = wanted[last % 2 - 1]  # there and back again
        rig.replace(rows)
        ran = stopped(rig, 0, 4, last)
        rig.materialize(START, START + 4 * DAY)
        assert content(rig) == right, f"stopped behind {ran[-1]}"
    assert ran[-1] == "drop the table of changes"
    versions = [row["version"] for row in records(warehouse, "SELECT version FROM _plane.ledger")]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize(
    "behind", ["compute the changes of the history", "change the newest rows", "move the watermark"]
)
def test_a_gap_whose_closing_was_stopped_is_closed(warehouse, behind):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=AFTER)
    rig.materialize(START + 2 * DAY, START + 4 * DAY)
    names = stopped(rig, 0, 2, 99)
    closed = content(rig)
    again = Rig(subject, COLUMNS, warehouse=emptied(warehouse), rows=AFTER)
    again.materialize(START + 2 * DAY, START + 4 * DAY)
    ran = stopped(again, 0, 2, names.index(behind) + 1)
    assert ran[-1] == behind
    again.materialize(START, START + 2 * DAY)
    assert content(again) == closed
    assert again.head().watermark == rig.head().watermark


def emptied(warehouse: Warehouse) -> Warehouse:
    empty(warehouse)
    return warehouse
