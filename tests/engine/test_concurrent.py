"""Two writers of one view at once: whatever happens, there is exactly one copy of everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.duckdb.warehouse import DuckDBWarehouse
from controlplane.base.ports import Statement
from controlplane.base.types import Interval
from controlplane.errors import TransientError
from controlplane.materialize import tasks
from controlplane.release.variables import fill, run_variables
from controlplane.sql.statements import read
from tests.engine.engines import raw
from tests.engine.rig import Rig, interval
from tests.engine.test_kill import BEFORE, COLUMNS, DAY, START, fresh, subject
from tests.engine.test_order import content

FIRST, SECOND = interval(START, START + 2 * DAY), interval(START + DAY, START + 3 * DAY)


@pytest.mark.parametrize("spans", [(FIRST, FIRST), (FIRST, SECOND), (SECOND, FIRST)])
@pytest.mark.parametrize("round_", range(4))
def test_two_writers_leave_one_copy(spans: Sequence[Interval], round_: int, tmp_path: Path) -> None:
    meet = threading.Barrier(2, timeout=60)

    def write(number: int) -> None:
        """One run with a session of its own, tried again as a scheduler would."""
        warehouse = DuckDBWarehouse(raw(rig.warehouse).cursor(), "")
        variables = run_variables(rig.program, spans[number], f"run {number}")
        filled = {name: fill(rig.sql[name], variables) for name in ("stage", "publish", "unstage")}
        tasks.stage(rig.program, warehouse, filled["stage"])
        meet.wait()
        for _ in range(1000):
            try:
                tasks.publish(rig.program, warehouse, filled["publish"], f"run {number}")
            except TransientError:
                time.sleep(0.01)
                continue
            tasks.unstage(rig.program, warehouse, filled["unstage"])
            return
        raise AssertionError("it never got through")

    with fresh(tmp_path / "shared.duckdb") as rig, Rig(subject, COLUMNS, rows=BEFORE) as alone:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, range(2)))
        alone.materialize(START, START + (2 if spans[0] == spans[1] else 3) * DAY)
        for part in ("tiles", "history", "latest"):
            assert content(rig, part) == content(alone, part)
        versions = rig.run("SELECT version FROM _plane.ledger ORDER BY version")
        assert len(set(versions)) == 2
        assert rig.head().version == versions[-1][0]


def test_the_second_writer_is_told_to_try_again(tmp_path: Path) -> None:
    with fresh(tmp_path / "shared.duckdb") as rig, Rig(subject, COLUMNS, rows=BEFORE) as alone:
        first, second = (DuckDBWarehouse(raw(rig.warehouse).cursor(), "") for _ in range(2))
        texts = [
            {
                name: fill(rig.sql[name], run_variables(rig.program, FIRST, run))
                for name in ("stage", "publish")
            }
            for run in ("one", "two")
        ]
        tasks.stage(rig.program, first, texts[0]["stage"])
        tasks.stage(rig.program, second, texts[1]["stage"])
        first.execute([Statement("begin", "BEGIN"), *read(texts[0]["publish"])])
        with pytest.raises(TransientError, match="update the head"):
            tasks.publish(rig.program, second, texts[1]["publish"], "two")
        assert rig.table("history") == []
        first.execute([Statement("commit", "COMMIT")])
        tasks.publish(rig.program, second, texts[1]["publish"], "two")
        alone.materialize(START, START + 2 * DAY)
        for part in ("tiles", "history", "latest"):
            assert content(rig, part) == content(alone, part)
