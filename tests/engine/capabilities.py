"""What each warehouse can do, and what proves it: compared values, a check that runs anywhere, a
test, or a refusal.

Random cases are counted: a value that is not null counts for its function, its window and whatever
else its view has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view, expect
from controlplane.base.ports import Warehouse
from controlplane.errors import CheckFailed
from controlplane.verify.oracle import RowFeature, View
from tests.engine import cases
from tests.engine.cases import Case
from tests.engine.differential import labels
from tests.engine.engines import empty
from tests.engine.rig import Reader, Rig, records
from tests.engine.shapes import SHAPES, Form, Shape
from tests.engine.test_kill import AFTER, BEFORE, COLUMNS, DAY, START, subject
from tests.verification.functions import differing

WAREHOUSES = ("duckdb", "snowflake", "databricks")
WINDOWS = ("sliding", "offset", "lifetime", "series", "calendar")
PLACES = {
    "view": "values over time",
    "history": "history",
    "latest": "newest rows",
    "ledger": "ledger",
    "training set": "training set, as scheduled",
    "from source": "training set, from source",
}
OF_VIEWS: Mapping[str, Callable[[View], object]] = {
    "several keys": lambda view: len(view.keys) > 1,
    "settling delay": lambda view: view.delay,
    "tie breaker": lambda view: view.tie_breaker,
    "time to live": lambda view: view.ttl,
    "phase": lambda view: view.phase,
    "table without a time": lambda view: view.time is None,
}


def _is(shape: Shape) -> Callable[[Form], object]:
    return lambda form: form.shape is shape


OF_FORMS: Mapping[str, Callable[[Form], object]] = {
    **{f"SQL: {shape.name}": _is(shape) for shape in SHAPES},
    "lookback": lambda form: form.reach == "some",
    "unbounded lookback": lambda form: form.reach == "unbounded",
    "interval by interval": lambda form: form.shape.by_interval,
}
COUNTED = (
    *cases.FUNCTIONS,
    "row feature",
    *(f"{window} window" for window in WINDOWS),
    "second key",
    "condition",
    *OF_VIEWS,
    *OF_FORMS,
    *PLACES.values(),
)
"""What random cases are counted for."""
Counts = Counter[str]


@dataclass(frozen=True)
class Proof:
    """A test proves it: its file and name."""

    name: str


@dataclass(frozen=True)
class Refused:
    """It is refused, or not done, with these words; `test` shows that it still is so."""

    words: str
    test: str
    shown: str = "refused"


def counted(case: Case, place: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """What some compared rows of a place count for."""
    yield PLACES[place], len(rows)
    if place == "ledger":
        return
    yield from ((name, len(rows)) for name, true in OF_VIEWS.items() if true(case.view))
    yield from ((name, len(rows)) for name, true in OF_FORMS.items() if true(case.form))
    for feature in case.view.features:
        there = sum(row[feature.name] is not None for row in rows)
        if isinstance(feature, RowFeature):
            yield "row feature", there
            continue
        function, window = labels(feature)
        yield function, there
        yield f"{window.removesuffix(' by')} window", there
        if feature.by:
            yield "second key", there
        if feature.where:
            yield "condition", there


def training_as_served(warehouse: Warehouse) -> bool:
    """Whether training finds again what readers saw between a publication and its correction, and
    after that."""
    try:
        rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
        shown = []
        for rows in (BEFORE, AFTER):
            rig.replace(rows)
            rig.materialize(START, START + 4 * DAY)
            shown.append((rig.head().version, Reader(rig.table(), ["k"], "valid_to")))
        spine = [((key,), since) for since, _ in shown for key in ("a", "b", "gone", "late")]
        found = rig.training_set(spine, as_of="served", allow_gaps=True)
        wanted = [
            table.at(key, since)
            for (key, since), (_, table) in zip(spine, [shown[0]] * 4 + [shown[1]] * 4, strict=True)
        ]
        told = [(row["amt_sum_1d"], row["amt_sum_2d"], row["word"]) for row in found]
        right = [
            (row["amt_sum_1d"], row["amt_sum_2d"], row["word"]) if row else (None,) * 3
            for row in wanted
        ]
        return told == right and right[1] != right[5]
    finally:
        empty(warehouse)


def expectations(warehouse: Warehouse) -> bool:
    """Whether rows that fail an expectation are kept out, and what is found is recorded."""
    events = BatchSource(
        "events", table="raw.events", timestamp="ts", expectations=[expect.not_null("amt")]
    )

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=[Aggregate("sum", "amt", windows=["1d"]), Attribute("word", "string")],
        schedule="1d",
        start="2024-01-01",
        expectations=[expect.between("amt", high=2, severity="warning")],
        owner="team",
    )
    def checked(events):
        return f"SELECT * FROM {events}"

    try:
        first = datetime(2024, 1, 1)  # noqa: DTZ001 - in UTC
        nothing = {"k": "a", "ts": first, "amt": None, "word": "x"}
        rig = Rig(checked, COLUMNS, warehouse=warehouse, rows=[*BEFORE, nothing])
        try:
            rig.materialize(START, START + 4 * DAY)
        except CheckFailed:
            kept_out = rig.head().version == 0
        else:
            kept_out = False
        rig.replace(BEFORE)
        done = rig.materialize(START, START + 4 * DAY)
        query = (
            "SELECT name, row_count, failed_count, passed FROM"
            f" {rig.d.quote('_plane')}.{rig.d.quote('metrics')}"
        )
        recorded = {tuple(row.values()) for row in records(warehouse, query)}
        wanted = {("not_null(amt)", 4, 0, True), ("amt <= 2", 4, 2, False)}
        return kept_out and bool(done.warnings) and wanted <= recorded
    finally:
        empty(warehouse)


def python_functions(warehouse: Warehouse) -> bool:
    """Whether training sets compute what readers do, and so does the warehouse of random rows."""
    try:
        return differing(warehouse) == []
    finally:
        empty(warehouse)


CHECKS: Mapping[str, Callable[[Warehouse], bool]] = {
    "training set, as served": training_as_served,
    "expectations": expectations,
    "Python functions in training": python_functions,
}
"""What a small check of any warehouse proves."""

_DOORS = {name: Proof(f"tests/sql/test_public_views.py::test_{name}") for name in WAREHOUSES}
NAMED: Mapping[str, Mapping[str, Proof | Refused]] = {
    "comments, with owner and tags": _DOORS,
    "tags as objects of the warehouse": dict.fromkeys(
        WAREHOUSES,
        Refused(
            "TAG",
            "tests/sql/test_public_views.py::test_tags_are_said_in_comments_alone",
            "not made",
        ),
    ),
    "grants to a role of readers": {
        **_DOORS,
        "duckdb": Refused(
            "DuckDB grants no rights",
            "tests/project/test_settings.py::test_readers_where_nothing_is_granted",
        ),
    },
    "Python functions of lists": {
        "duckdb": Proof("tests/serving/test_realtime.py::test_every_value_passes"),
        "snowflake": Refused(
            "a Python function can't take or return lists",
            "tests/verification/test_realtime_snowflake.py::test_lists_are_refused",
        ),
        "databricks": Proof(
            "tests/engine/test_parity_databricks.py::test_python_functions_on_databricks"
        ),
    },
}
"""What tests prove that run with all others."""


def shown(counts: Mapping[str, Counts], checked: Mapping[str, Mapping[str, bool]]) -> Table:
    """The matrix: compared values by capability and warehouse, what was checked, and what tests
    prove or is refused."""
    table = Table(
        "capability", *counts, title="compared values that are not null", title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name in COUNTED:
        table.add_row(name, *(f"{found[name]:,}" for found in counts.values()))
    for name in CHECKS:
        table.add_row(
            name, *("checked" if checked[engine].get(name) else "not checked" for engine in counts)
        )
    for name, cells in NAMED.items():
        table.add_row(name, *(in_a_word(cells[engine]) for engine in counts))
    return table


def in_a_word(cell: Proof | Refused) -> str:
    """What the matrix says of what tests prove."""
    return cell.shown if isinstance(cell, Refused) else "a test"


def missing(counts: Counts) -> list[str]:
    """What was never compared."""
    return [name for name in COUNTED if not counts[name]]
