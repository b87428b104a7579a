"""A publication made of MERGEs, where nothing takes effect together: stopped anywhere, the same run
mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import redis

from connectors.redis.store import connect
from controlplane.base.ports import Statement, Warehouse
from controlplane.control import identity
from controlplane.errors import TransientError
from controlplane.online import syncing
from controlplane.online.reconcile import reconcile
from controlplane.online.takeover import take_over
from controlplane.sql.dialects import DIALECTS
from controlplane.sql.dialects.snowflake import Snowflake
from tests.engine.engines import empty
from tests.engine.meddled import Meddled
from tests.engine.parity import content, opened
from tests.engine.rig import Rig, naive, records
from tests.engine.test_kill import AFTER, BEFORE, COLUMNS, DAY, START, subject
from tests.materialize.test_shards import Online, wall

LAST = 17
"""More statements than a run has: one of the stage, twelve of the publication, two of the end, and
the one that finds that the interval is not the next."""
_REPLACED = re.compile(
    r"INSERT INTO (?P<table>\S+) REPLACE\s+(?P<where>WHERE .*?)\s+SELECT", re.DOTALL
)


class Untransactional(Snowflake):
    """Snowflake's SQL in the form for a warehouse without transactions."""

    transactional = False


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    whole = DIALECTS["snowflake"]
    DIALECTS["snowflake"] = Untransactional()
    with opened("snowflake") as (warehouse, _):
        yield warehouse
    DIALECTS["snowflake"] = whole


def in_two(statement: Statement) -> Sequence[Statement]:
    """An INSERT that replaces rows as a DELETE and an INSERT, both of which Snowflake has."""
    replaced = _REPLACED.match(statement.sql)
    if replaced is None:
        return [statement]
    insert = f"INSERT INTO {replaced['table']} {statement.query}"
    return [
        Statement("", f"DELETE FROM {replaced['table']} {replaced['where']}"),
        msgspec.structs.replace(statement, sql=insert),
    ]


def stopped(rig: Rig, start: int, end: int, last: int = 99) -> list[str]:
    """Run an interval that ends after so many statements; those that ran."""
    whole = rig.warehouse
    rig.warehouse = meddled = Meddled(whole, in_two, last)
    try:
        rig.materialize(START + start * DAY, START + end * DAY)
    except TransientError:
        pass
    finally:
        rig.warehouse = whole
    return meddled.names


def whole(rig: Rig, start: int, end: int) -> list[str]:
    """Run an interval to its end; the statements."""
    ran = stopped(rig, start, end)
    assert ran[-1] == "drop the table of changes"
    return ran


def test_a_correction_that_was_stopped_is_mended(warehouse):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    whole(rig, 0, 4)
    before = content(rig)
    rig.replace(AFTER)
    whole(rig, 0, 4)
    wanted = [(BEFORE, before), (AFTER, content(rig))]
    assert before["history"] != wanted[1][1]["history"]
    ran: list[str] = []
    for last in range(1, LAST):
        rows, right = wanted[last % 2 - 1]  # there and back again
        rig.replace(rows)
        ran = stopped(rig, 0, 4, last)
        whole(rig, 0, 4)
        assert content(rig) == right, f"stopped behind {ran[-1]}"
    assert ran[-1] == "drop the table of changes"
    versions = [row["version"] for row in records(warehouse, "SELECT version FROM _plane.ledger")]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize(
    "behind", ["compute the changes of the history", "change the newest rows", "move the watermark"]
)
def test_a_gap_whose_closing_was_stopped_is_closed(warehouse, behind):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=AFTER)
    whole(rig, 2, 4)
    names = whole(rig, 0, 2)
    closed = content(rig)
    again = Rig(subject, COLUMNS, warehouse=emptied(warehouse), rows=AFTER)
    whole(again, 2, 4)
    ran = stopped(again, 0, 2, names.index(behind) + 1)
    assert ran[-1] == behind
    whole(again, 0, 2)
    assert content(again) == closed
    assert again.head().watermark == rig.head().watermark


def emptied(warehouse: Warehouse) -> Warehouse:
    empty(warehouse)
    return warehouse


NEXT = "update the head for the next interval"
GENERAL = "compute the changes of the history"


def test_the_next_interval_only_adds_rows(warehouse):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    for day in range(4):
        ran = whole(rig, day, day + 1)
        assert NEXT in ran
        assert GENERAL not in ran
    assert content(rig) == at_once(BEFORE)
    assert GENERAL in whole(rig, 3, 4)
    assert GENERAL in whole(rig, 1, 2)
    assert content(rig) == at_once(BEFORE)
    assert GENERAL in whole(rig, 5, 6), "a gap before it"
    assert GENERAL in whole(rig, 4, 5), "an interval after it"
    assert content(rig) == at_once(BEFORE, 6)
    assert GENERAL not in whole(rig, 6, 7)
    assert content(rig) == at_once(BEFORE, 7)


def instant(micros: int) -> datetime:
    return naive(micros).replace(tzinfo=UTC)


def at_once(rows: Sequence[Mapping[str, Any]], days: int = 4) -> dict[str, list[tuple[Any, ...]]]:
    """What the embedded warehouse's tables hold after one run."""
    with Rig(subject, COLUMNS, rows=rows) as right:
        right.materialize(START, START + days * DAY)
        return content(right)


def test_a_next_interval_that_was_stopped_is_mended(warehouse):
    """By the same run, or by runs of other lengths over rows that have changed since."""
    for pieces in ([(1, 3)], [(1, 2), (2, 3)], [(1, 4)]):
        for last in range(1, 99):
            rig = Rig(subject, COLUMNS, warehouse=emptied(warehouse), rows=BEFORE)
            whole(rig, 0, 1)
            ran = stopped(rig, 1, 3, last)
            if ran[-1] == "drop the table of changes":
                break
            rig.replace(AFTER)
            whole(rig, 0, 1)
            for start, end in pieces:
                whole(rig, start, end)
            expected = at_once(AFTER, pieces[-1][1])
            assert content(rig) == expected, f"stopped behind {ran[-1]}, then {pieces}"
        assert last > 6


def test_a_statement_that_is_sent_twice_counts_once(warehouse):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    whole(rig, 0, 1)
    names = whole(rig, 1, 2)
    for twice in names[names.index(NEXT) : names.index("drop the stage")]:

        def sent(statement: Statement, twice: str = twice) -> Sequence[Statement]:
            parts = in_two(statement)
            return [*parts, *parts] if statement.name == twice else parts

        again = Rig(subject, COLUMNS, warehouse=emptied(warehouse), rows=BEFORE)
        whole(again, 0, 1)
        again.warehouse = meddled = Meddled(warehouse, sent)
        again.materialize(START + DAY, START + 2 * DAY)
        again.warehouse = warehouse
        assert GENERAL not in meddled.names
        assert content(again) == at_once(BEFORE, 2), twice
        assert len(records(warehouse, "SELECT version FROM _plane.ledger")) == 2, twice


def test_a_run_that_is_overtaken_adds_nothing(warehouse):
    """Another run takes the head of the next interval behind each statement of this one."""
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    whole(rig, 0, 1)
    names = whole(rig, 1, 2)
    inside = names[names.index(NEXT) : names.index("drop the stage")]
    for behind in inside:
        again = Rig(subject, COLUMNS, warehouse=emptied(warehouse), rows=BEFORE)
        whole(again, 0, 1)
        took = Statement(
            "", f"UPDATE {again.program.head} SET version = version + 1, run_id = 'other'"
        )

        def overtaken(
            statement: Statement, behind: str = behind, took: Statement = took
        ) -> Sequence[Statement]:
            return [*in_two(statement), *([took] if statement.name == behind else [])]

        again.warehouse = Meddled(warehouse, overtaken)
        with pytest.raises(TransientError, match="run other took over"):
            again.materialize(START + DAY, START + 2 * DAY)
        again.warehouse = warehouse
        whole(again, 1, 2)
        assert content(again) == at_once(BEFORE, 2), behind


def test_a_key_that_a_stopped_run_left_in_the_newest_rows_is_removed(warehouse):
    """Nothing is left in tiles, history and ledger; only the newest rows show that a run began."""
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    following, general = whole(rig, 0, 1), whole(rig, 0, 1)
    rig = Rig(subject, COLUMNS, warehouse=emptied(warehouse), rows=BEFORE)
    stopped(rig, 0, 1, following.index("change the newest rows") + 1)
    assert rig.table("latest")
    rig.replace([])
    stopped(rig, 0, 1, general.index("change the history") + 1)
    whole(rig, 0, 1)
    assert [row for row in rig.table("latest") if not row["is_deleted"]] == []
    whole(rig, 1, 2)
    assert rig.head().watermark == instant(START + 2 * DAY)


def test_a_watermark_that_was_left_behind_moves_on(warehouse):
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    whole(rig, 0, 3)
    behind = warehouse.execute(
        [
            Statement(
                "",
                f"UPDATE {rig.program.head} SET frontier ="
                f" {DIALECTS['snowflake'].instant(instant(START + 2 * DAY))}",
            )
        ]
    )
    assert behind == [1]
    assert GENERAL in whole(rig, 3, 4)
    assert rig.head().watermark == instant(START + 4 * DAY)
    assert content(rig) == at_once(BEFORE)


def test_workers_of_earlier_versions_add_no_row_twice():
    """They know no variants: they run the statements of both."""
    with opened("snowflake") as (warehouse, _):
        rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
        publish = rig.sql["publish"].replace("-- @variant: next\n", "")
        assert publish != rig.sql["publish"]
        rig.sql = {**rig.sql, "publish": publish}
        for day in (0, 1, 1, 2):
            rig.materialize(START + day * DAY, START + (day + 1) * DAY)
            assert content(rig) == at_once(BEFORE, max(day + 1, 1))


def test_a_sync_during_a_publication_skips_no_key(warehouse, valkey_url):
    """The head has the version of a publication before the newest rows have it."""
    url = f"{valkey_url}/5"
    store = connect(url=url)
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    whole(rig, 0, 1)

    def meanwhile(statement: Statement) -> Sequence[Statement]:
        if statement.name == "change the newest rows":
            synced.append(
                syncing.sync(rig.program, warehouse, store, rig.sql["sync"], clock=wall).version
            )
        return in_two(statement)

    synced: list[int] = []
    try:
        with redis.Redis.from_url(url, protocol=2) as raw:
            raw.flushdb()
            online = Online(rig, store, raw)
            for day in (1, 2):
                rig.warehouse = Meddled(warehouse, meanwhile)
                rig.materialize(START + day * DAY, START + (day + 1) * DAY)
                rig.warehouse = warehouse
                assert online.sync().written > 0
                kept = reconcile(
                    rig.program, warehouse, store, rig.sql["sync"], served=True, clock=wall
                )
                assert kept.right == kept.rows > 0
        assert len(synced) == 2
    finally:
        store.close()


def test_a_take_over_replaces_newer_values_of_another_warehouse(warehouse, valkey_url):
    """The head gets a version above theirs, which no publication has."""
    url = f"{valkey_url}/6"
    store = connect(url=url)
    rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
    whole(rig, 0, 4)
    try:
        with opened("snowflake") as (other, _), redis.Redis.from_url(url, protocol=2) as raw:
            raw.flushdb()
            theirs = Rig(subject, COLUMNS, warehouse=other, rows=AFTER)
            whole(theirs, 0, 4)
            for each in (other, warehouse):
                identity.ensure(each, made_by="test", now=wall())
            assert Online(theirs, store, raw).sync().written > 0
            _, [taken] = take_over(
                [(rig.manifest, rig.view)], rig.manifest, warehouse, store, clock=wall
            )
            assert (taken.written, taken.unhealed) == (len(rig.table("latest")), 0)
            kept = reconcile(
                rig.program, warehouse, store, rig.sql["sync"], served=True, clock=wall
            )
            assert kept.right == kept.rows > 0
            assert kept.rows == len([r for r in rig.table("latest") if not r["is_deleted"]])
    finally:
        store.close()
