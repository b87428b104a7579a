"""Views that read views: deployed together on an empty warehouse, and equal to the oracle over what
they read."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from connectors.duckdb.warehouse import DuckDBWarehouse, connect
from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
)
from controlplane.base.ports import Statement
from controlplane.base.types import format_duration
from controlplane.errors import Problems, TransientError
from controlplane.manifest.specs import Manifest
from controlplane.materialize.run import materialize
from controlplane.release import program as programs
from controlplane.sql.dialects import dialect
from controlplane.sql.statements import read
from controlplane.sql.views import FILES, render_view
from controlplane.training import datasets
from controlplane.verify.oracle import RowFeature, View, WindowFeature, same
from tests.engine.engines import empty, make, raw, run
from tests.engine.grids import DAY, HOUR, MINUTE, text
from tests.engine.parity import opened
from tests.engine.rig import Reader, compiled, interval, micros, naive, records

START = micros("2024-01-04")
KEYS = ("a", "b", "c")
thing = Entity("thing", keys={"k": "string"}, owner="team")


def text_of(duration: int) -> str:
    """A duration of whole half hours as a person writes it."""
    return format_duration(timedelta(microseconds=duration))


def upper_of(schedule: int, delay: int, *, start: int = START, window: int = 2) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts", settling_delay=text(delay))

    @batch_feature_view(
        entities=[thing],
        sources=[events],
        features=[
            Aggregate("count", windows=[text_of(window * schedule)], name="n"),
            Attribute("s", "string"),
        ],
        schedule=text(schedule),
        start=naive(start).isoformat(),
        owner="team",
    )
    def upper(events):
        return f"SELECT * FROM {events}"

    return upper


def lower_of(
    schedule: int, delay: int, count: str, *, query: str = "SELECT * FROM {}", **source: Any
) -> BatchFeatureView:
    given = {
        "table": "features.upper",
        "timestamp": "valid_from",
        "settling_delay": text(delay),
        **source,
    }
    uppers = BatchSource("uppers", **given)

    @batch_feature_view(
        entities=[thing],
        sources=[uppers],
        features=[
            *(
                Aggregate(f, count, windows=[text_of(2 * schedule)], name=f)
                for f in ("sum", "max", "last")
            ),
            Attribute("s", "string"),
        ],
        schedule=text(schedule),
        start=naive(START).isoformat(),
        owner="team",
    )
    def lower(uppers):
        return query.format(uppers)

    return lower


class Chain:
    """A warehouse with two views, the second over the first.

    `deploy=False` leaves it without any table of theirs.
    """

    def __init__(
        self,
        views: Sequence[BatchFeatureView],
        rows: Sequence[tuple[str, int, str]],
        *,
        deploy: bool = True,
    ):
        self.warehouse: DuckDBWarehouse = connect(path=":memory:")
        table = "CREATE TABLE raw.events (k VARCHAR, ts TIMESTAMP, s VARCHAR)"
        self.warehouse.execute([Statement("raw", sql) for sql in ("CREATE SCHEMA raw", table)])
        for key, at, word in rows:
            raw(self.warehouse).execute(
                "INSERT INTO raw.events VALUES (?, ?, ?)", [key, naive(at), word]
            ).fetchall()
        self.manifest: Manifest = compiled(views, self.warehouse)
        self.sql, self.program = {}, {}
        for view in self.manifest.views:
            rendered = render_view(self.manifest, view)
            self.sql[view.name] = {name: str(getattr(rendered, name)) for name in FILES}
            self.program[view.name] = programs.build(self.manifest, view)
            if deploy:
                self.warehouse.execute(read(self.sql[view.name]["setup"]))
                self.warehouse.execute(read(self.sql[view.name]["doors"]), atomic=True)

    def run(self, view: str, start: int, end: int) -> None:
        materialize(self.program[view], self.sql[view], self.warehouse, interval(start, end))

    def table(self, view: str) -> list[dict[str, Any]]:
        return records(self.warehouse, f"SELECT * FROM features.{view} ORDER BY ALL")

    def trained(
        self, looks: Sequence[tuple[str, int]], *, from_source: bool = False
    ) -> list[dict[str, Any]]:
        raw(self.warehouse).execute(
            "CREATE OR REPLACE TABLE raw.spine (k VARCHAR, asked TIMESTAMP)"
        ).fetchall()
        for key, at in looks:
            raw(self.warehouse).execute(
                "INSERT INTO raw.spine VALUES (?, ?)", [key, naive(at)]
            ).fetchall()
        made = datasets.create(
            self.manifest,
            self.warehouse,
            name="t",
            service="all",
            spine="raw.spine",
            time="asked",
            created_by="us",
            from_source=from_source,
        )
        return records(self.warehouse, f"SELECT * FROM {made.table}")


@pytest.mark.parametrize("seed", range(8))
def test_a_view_over_a_view_is_as_the_oracle_says(seed: int) -> None:
    choice = random.Random(seed)
    above, below = choice.choice([HOUR, 6 * HOUR]), choice.choice([HOUR, 6 * HOUR, DAY])
    early = choice.choice([0, 30 * MINUTE, HOUR + 7])
    late = early + max(above - below, 0) + choice.choice([0, 0, 10 * MINUTE])
    count = f"n_{text_of(2 * above)}"
    end = START + 3 * DAY
    rows = [
        (
            choice.choice(KEYS),
            choice.randrange(START - DAY, end, 60 * MINUTE // 4),
            choice.choice("xyz"),
        )
        for _ in range(60)
    ]
    views = [lower_of(below, late, count), upper_of(above, early)]  # in any order of definition
    chain, bare = Chain(views, rows), Chain(views, rows, deploy=False)
    assert [view.name for view in chain.manifest.views] == ["upper", "lower"]
    chain.run("upper", START, end)
    pieces = [(at, at + DAY) for at in range(START, end, DAY)]
    for begin, stop in choice.sample(pieces, len(pieces)):
        chain.run("lower", begin, stop)

    features = [
        WindowFeature(f"{f}_{text_of(2 * below)}", f, count, 2 * below)
        for f in ("sum", "max", "last")
    ]
    oracle = View(["k"], "valid_from", [*features, RowFeature("s")], below, START, late)
    looks = [
        (key, at + beside)
        for key in (*KEYS, "d")
        for at in range(START, end, 5 * HOUR)
        for beside in (0, late)
    ]
    table, read = Reader(chain.table("lower"), ["k"], "valid_to"), chain.table("upper")
    assert read
    trained, computed = chain.trained(looks), bare.trained(looks, from_source=True)
    assert trained == computed
    for (key, at), row in zip(looks, trained, strict=True):
        found = table.at([key], at) or oracle.nothing()
        for name, value in oracle.value(read, [key], at).items():
            assert same(found[name], value), (key, at - START, name)
            assert same(row[f"lower__{name}"], value), (key, at - START, name)
    chain.warehouse.close()
    bare.warehouse.close()


def test_a_value_is_never_seen_before_the_view_that_it_comes_from_was_published() -> None:
    """Counted at 01:00, published at 01:30: the day that holds it ends at 24:00, and shows it at
    00:30."""
    rows = [("a", START + 10 * MINUTE, "x")]
    with_delay = [upper_of(HOUR, 30 * MINUTE), lower_of(DAY, 30 * MINUTE, "n_2h")]
    chain = Chain(with_delay, rows)
    chain.run("upper", START, START + DAY)
    chain.run("lower", START, START + DAY)
    [first, *_] = chain.table("upper")
    [seen, *_] = chain.table("lower")
    assert first["valid_from"] == START + HOUR + 30 * MINUTE
    assert (seen["valid_from"], seen["max_2d"]) == (START + DAY + 30 * MINUTE, 1)
    chain.warehouse.close()


def test_what_the_other_view_has_not_computed_is_not_left_out() -> None:
    chain = Chain(
        [upper_of(HOUR, 30 * MINUTE), lower_of(DAY, 30 * MINUTE, "n_2h")], [("a", START, "x")]
    )
    with pytest.raises(
        TransientError, match=r"reads feature view 'upper', which .* through 2024-01-04T23:00:00Z"
    ):
        chain.run("lower", START, START + DAY)
    chain.run("upper", START + HOUR, START + DAY)  # but for its first hour
    with pytest.raises(TransientError, match="without a gap"):
        chain.run("lower", START, START + DAY)
    assert chain.table("lower") == []
    chain.run("upper", START, START + HOUR)
    chain.run("lower", START, START + DAY)
    assert len(chain.table("lower")) > 0
    chain.warehouse.close()


def test_another_definition_above_is_another_version_below() -> None:
    views = [upper_of(HOUR, 0), lower_of(DAY, 0, "n_2h")]
    one, same_one = Chain(views, []), Chain(views, [])
    other = Chain([upper_of(HOUR, 0, start=START - DAY), lower_of(DAY, 0, "n_2h")], [])
    above, below = ([view.fingerprint for view in chain.manifest.views] for chain in (one, other))
    assert above == [view.fingerprint for view in same_one.manifest.views]
    assert above[0] != below[0]
    assert above[1] != below[1]
    # It reads the version that it was made for, whatever the users' view shows.
    assert f'"upper__history__{above[0]}"' in one.sql["lower"]["stage"]
    assert list(one.program["lower"].sources) == [f'"features"."upper__history__{above[0]}"']
    for chain in (one, same_one, other):
        chain.warehouse.close()


@pytest.mark.parametrize(
    ("lower", "told"),
    [
        (lower_of(DAY, 0, "n_2h"), r"settling_delay='30m', or more"),
        (lower_of(30 * MINUTE, 30 * MINUTE, "n_2h"), r"settling_delay='1h', or more"),
        (lower_of(45 * MINUTE, DAY, "n_2h"), r"use schedule 1h, a multiple or a divisor of it"),
        (
            lower_of(DAY, DAY, "n_2h", timestamp=None, settling_delay="0s"),
            r"timestamp='valid_from'",
        ),
        (lower_of(DAY, DAY, "n_2h", timestamp="valid_to"), r"timestamp='valid_from'"),
        (
            lower_of(DAY, DAY, "n_2h", table="features.upper__latest"),
            r"table='features.upper', timestamp='valid_from'",
        ),
        (lower_of(DAY, DAY, "n_2h", table='features."upper"'), r"table='features.upper'"),
        (
            lower_of(DAY, DAY, "n_2h", query="SELECT * FROM {} WHERE valid_to IS NULL"),
            r'"valid_to" not found|valid_to',
        ),
    ],
)
def test_what_could_leak_or_be_missing_is_refused(lower: BatchFeatureView, told: str) -> None:
    with pytest.raises(Problems) as raised:
        Chain([upper_of(HOUR, 30 * MINUTE), lower], [])
    assert len(raised.value.problems) == 1
    [problem] = raised.value.problems
    assert re.search(told, f"{problem.message} {problem.hint}"), problem


SPELLINGS = (
    "{catalog}.features.upper",
    "{catalog}.features.upper__latest",
    "{catalog}.FEATURES.{quote}upper{quote}",
    "{quote}{catalog}{quote}.features.Upper",
    "features.upper__history__ab12cd34",
    "Features.UPPER",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a4_every_spelling_of_a_view_of_ours_is_refused_with_the_right_one(spelling: str) -> None:
    table = spelling.format(catalog="memory", quote='"')
    with pytest.raises(Problems) as raised:
        Chain([upper_of(HOUR, 30 * MINUTE), lower_of(DAY, DAY, "n_2h", table=table)], [])
    [problem] = raised.value.problems
    assert problem.message == f"source 'uppers' reads {table}, a table of feature view 'upper'"
    assert problem.hint == "give table='features.upper', timestamp='valid_from'"


@pytest.mark.parametrize("engine", ["snowflake", "databricks"])
def test_a4_a_catalogue_is_known_on_every_warehouse(
    engine: str, request: pytest.FixtureRequest
) -> None:
    endpoint = request.getfixturevalue("databricks") if engine == "databricks" else None
    with opened(engine, endpoint) as (warehouse, _):
        try:
            run(warehouse, "CREATE SCHEMA raw")
            make(warehouse, "raw.events", {"k": "VARCHAR", "ts": "TIMESTAMP", "s": "VARCHAR"})
            catalog = {"snowflake": "current_database()", "databricks": "current_catalog()"}[engine]
            [name] = [row["name"] for row in records(warehouse, f"SELECT {catalog} AS name")]
            quote = dialect(engine).quote_mark
            tables = [spelling.format(catalog=name, quote=quote) for spelling in SPELLINGS]
            for table in [*tables, tables[0].lower()]:
                views = [upper_of(HOUR, 30 * MINUTE), lower_of(DAY, DAY, "n_2h", table=table)]
                with pytest.raises(Problems, match="a table of feature view 'upper'"):
                    compiled(views, warehouse)
        finally:
            empty(warehouse)


def test_a4_a_table_of_another_catalogue_is_a_raw_table() -> None:
    with pytest.raises(Problems, match=r"there is no table other\.features\.upper"):
        Chain(
            [upper_of(HOUR, 30 * MINUTE), lower_of(DAY, DAY, "n_2h", table="other.features.upper")],
            [],
        )
