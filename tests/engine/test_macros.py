"""DuckDB looks for a user's macro before its own functions, so a known name may mean anything."""

from __future__ import annotations

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import BatchSource
from controlplane.base.ports import Statement
from controlplane.errors import Problems
from controlplane.manifest.specs import IntervalByInterval, RowByRow
from tests.engine.rig import Rig, compiled
from tests.engine.views import COLUMNS, view_of


def test_a_macro_that_hides_a_function_of_the_row_is_not_taken_for_it() -> None:
    view = view_of("SELECT k, ts, CAST(abs(amt) AS BIGINT) AS amt FROM {events}")
    with Rig(view, COLUMNS) as rig:
        assert isinstance(rig.view.evaluation, RowByRow)
    warehouse = connect(path=":memory:")
    warehouse.execute([Statement("macro", "CREATE MACRO abs(x) AS sum(x) OVER ()")])
    with Rig(view, COLUMNS, warehouse=warehouse) as rig:
        assert isinstance(rig.view.evaluation, IntervalByInterval)
        assert not rig.view.evaluation.steady
    timed = BatchSource("timed", table="raw.events", timestamp="make_timestamp(abs(amt))")
    warehouse = connect(path=":memory:")
    for made in ("MACRO abs(x) AS random()", "SCHEMA raw", "TABLE raw.events (amt BIGINT)"):
        warehouse.execute([Statement("prepare", f"CREATE {made}")])
    with pytest.raises(Problems, match=r"function abs\(\)' in its timestamp is not known"):
        compiled(
            [view_of("SELECT amt::VARCHAR AS k, source_time AS ts, amt FROM {timed}", timed)],
            warehouse,
        )
