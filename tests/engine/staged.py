"""The rows that a run stages, in any warehouse, and those of brute force: a view's SQL without what
follows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane import Attribute, Entity, batch_feature_view
from controlplane.base import naming
from controlplane.base.ports import Warehouse
from controlplane.manifest.specs import Manifest
from controlplane.release import program as programs
from controlplane.release.variables import fill, run_variables
from controlplane.sql.dialects import dialect
from controlplane.sql.statements import read
from controlplane.sql.views import render_view
from controlplane.verify.oracle import RowFeature, View
from tests.engine import cases, engines
from tests.engine.cases import Case
from tests.engine.grids import HOUR, text
from tests.engine.rig import compiled, interval, micros, naive, records
from tests.engine.shapes import Form

START, INTERVALS, ROWS = micros("2024-01-04"), 4, 70
NAMES = ("i", "s", "f", "u")


def case_of(form: Form, seed: int = 1) -> Case:
    """An hourly view with row features alone, so that a run reads nothing from before its
    intervals."""
    features = [Attribute(name, cases.TYPES[name]) for name in NAMES]
    delay, shape = -form.shape.low, form.shape
    declare = batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=cases.sources_of(form, False, delay),
        features=features,
        schedule="1h",
        start=naive(START).isoformat(),
        timestamp=shape.event_time,
        event_time_bounds=(text(shape.low), text(shape.high)) if shape.bounded else None,
        owner="team",
    )
    view = View(["k"], shape.event_time, [RowFeature(name) for name in NAMES], HOUR, START, delay)
    rows = [cases.row_of(seed, number, view, INTERVALS, shape) for number in range(ROWS)]
    return Case(declare(cases.transformation_of(shape)), view, rows, INTERVALS, form)


def staged(case: Case, warehouse: Warehouse) -> list[str]:
    """What one run over all intervals stages, rows beyond the view's bounds left out."""
    try:
        engines.run(warehouse, "CREATE SCHEMA raw", "CREATE SCHEMA _plane")
        engines.make(warehouse, "raw.events", cases.COLUMNS)
        engines.insert(warehouse, "raw.events", cases.COLUMNS, cases.loaded(case.rows))
        manifest = compiled([case.definition], warehouse)
        if case.form.apart:
            manifest = taken_apart(manifest)
        view, span, d = (
            manifest.views[0],
            interval(case.view.start, case.end),
            dialect(warehouse.dialect),
        )
        variables = run_variables(programs.build(manifest, view), span, "by the test")
        rows = [
            one
            for one in read(fill(render_view(manifest, view).stage, variables))
            if "rows" in one.name
        ]
        warehouse.execute(rows)
        table = f"{d.quote('_plane')}.{d.quote(naming.stage(view.name, 'by the test', span))}"
        kept = " WHERE NOT plane_outside" if view.bounds else ""
        names = ", ".join(d.quote(name) for name in ("k", *NAMES))
        found = records(warehouse, f"SELECT {names}, event_time AS at FROM {table}{kept}")
        return sorted(_told(row, row["at"]) for row in found)
    finally:
        engines.empty(warehouse)


def taken_apart(manifest: Manifest) -> Manifest:
    """The manifest of one view, each of whose intervals is to have a statement of its own."""
    [view] = manifest.views
    evaluation = msgspec.structs.replace(view.evaluation, steady=False)
    return msgspec.structs.replace(
        manifest, views=(msgspec.structs.replace(view, evaluation=evaluation),)
    )


def by_brute_force(case: Case) -> list[str]:
    """The same rows, as plain Python finds them."""
    time = case.form.shape.event_time
    return sorted(
        _told(row, row[time])
        for row in case.returned
        if row[time] is not None and case.view.start <= row[time] < case.end
    )


def _told(row: Mapping[str, Any], at: int) -> str:
    number = row["f"] if row["f"] is None else row["f"] + 0.0  # -0.0 equals 0.0
    return repr([at, row["k"], row["i"], row["s"], number, row["u"]])
