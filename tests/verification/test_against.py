"""`plane verify --against`: what differs between two environments is found, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from controlplane import ControlPlane
from controlplane.base.types import Interval, parse_instant
from controlplane.errors import PlaneError
from controlplane.verify import Comparison, TableComparison
from controlplane.verify.against import KEPT
from tests.e2e.projects import plane
from tests.shop import replaced

DEFINITIONS = """
from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "team@example.com"

buyer = Entity("buyer", keys={"name": "string", "day": "date", "token": "binary"}, owner=OWNER)
visit = Entity("visit", keys={"seen_at": "timestamp", "ok": "bool", "number": "int64"}, owner=OWNER)
sales = BatchSource("sales", table="raw.sales", timestamp="sold_at", settling_delay="1h")


@batch_feature_view(
    entities=[buyer], sources=[sales], schedule="1d", start="2024-01-01", owner=OWNER,
    features=[
        Aggregate("sum", "price", windows=["1d", "3d"]),
        Aggregate("stddev_pop", "price", windows=["3d"]),
        Aggregate("last_n", "price", n=2, windows=["3d"]),
        Attribute("cents", "decimal(12,2)"),
        Attribute("tags", "array<string>"),
    ],
)
def bought(sales):
    return f"select name, day, token, sold_at, price, cents, tags from {sales}"


@batch_feature_view(
    entities=[visit], sources=[sales], schedule="1d", start="2024-01-01", ttl="2d", owner=OWNER,
    features=[Attribute("price", "float64"), Attribute("paid_at", "timestamp")],
)
def seen(sales):
    return f"select sold_at as seen_at, ok, number, sold_at, price, sold_at as paid_at from {sales}"


everything = FeatureService("everything", features=[bought, seen], owner=OWNER)
"""
SALES = """CREATE OR REPLACE TABLE raw.sales AS SELECT
    ['a', 'B', 'ä', '', '~', 'it''s', 'Z', '\U0001f600'][i % 8 + 1] AS name,
    DATE '1969-12-30' + (i % 3)::INTEGER AS day,
    unhex(['00', 'ff', '7f80', ''][i % 4 + 1]) AS token,
    TIMESTAMP '2024-01-01' + INTERVAL 1 SECOND * (i * 48611 % 500000) AS sold_at,
    CASE WHEN i % 37 = 0 THEN 'nan'::DOUBLE WHEN i % 7 = 0 THEN NULL ELSE i * 0.1 - 20 END AS price,
    (i / 4)::DECIMAL(12,2) AS cents,
    CASE WHEN i % 5 = 0 THEN NULL ELSE ['x', NULL, i::VARCHAR][: (i % 4)::INTEGER] END AS tags,
    i % 2 = 0 AS ok,
    i % 6 - 3 AS number
FROM range(400) AS numbers(i)
UNION ALL SELECT 'both ways', DATE '2024-02-29', '', TIMESTAMP '2024-01-02 10:00' + INTERVAL 1 MINUTE * i,
    [1e9, -1e9, 0.5][i + 1], 0, [], TRUE, 100
FROM range(3) AS numbers(i)"""
ENVIRONMENTS = """[project]
name = "shop"

[environments.local]
now = "2024-01-05T06:00:00Z"
warehouse = { kind = "duckdb", path = ".plane/local.duckdb" }

[environments.late]
now = "2024-01-05T06:00:00Z"
warehouse = { kind = "duckdb", path = ".plane/late.duckdb" }

[environments.other]
now = "2024-01-05T06:00:00Z"
schema = "elsewhere"
warehouse = { kind = "duckdb", path = ".plane/other.duckdb" }
"""


class Two:
    """A project with two environments, each with a warehouse of its own and all that is due
    computed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def define(self, *pairs: tuple[str, str]) -> None:
        """Write the definitions, with texts replaced."""
        (self.folder / "features").mkdir(exist_ok=True)
        (self.folder / "features" / "all.py").write_text(replaced(DEFINITIONS, *pairs))

    def fill(self, environment: str, end: str | None = None) -> None:
        """Raw rows, a deployment, and what is due until `end`."""
        self.sql(environment, "CREATE SCHEMA IF NOT EXISTS raw", SALES)
        within = Interval(parse_instant("2024-01-01"), parse_instant(end)) if end else None
        with ControlPlane(self.folder, environment) as plane:
            plane.deploy()
            plane.run(within=within)

    def sql(self, environment: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in an environment's warehouse."""
        with duckdb.connect(str(self.folder / ".plane" / f"{environment}.duckdb")) as connection:
            for statement in statements:
                connection.execute(statement)
            return connection.fetchall()

    def table(self, view: str, part: str) -> str:
        """The physical table in the other environment."""
        names = self.sql(
            "other", "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'elsewhere'"
        )
        [name] = [name for (name,) in names if re.fullmatch(f"{view}__{part}__[0-9a-f]+", name)]
        return f'elsewhere."{name}"'

    def compared(self, *views: str, against: str = "other") -> Comparison:
        """What a comparison of the local environment finds."""
        with ControlPlane(self.folder) as plane:
            return plane.verify_against(against, views)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Two:
    two = Two(tmp_path_factory.mktemp("against") / "shop")
    (two.folder / ".plane").mkdir(parents=True)
    (two.folder / "plane.toml").write_text(ENVIRONMENTS)
    two.define()
    two.fill("local")
    two.fill("other")
    return two


@pytest.fixture
def two(base: Two, tmp_path: Path) -> Two:
    """A copy, to be damaged."""
    return Two(Path(shutil.copytree(base.folder, tmp_path / "shop")))


def tables(comparison: Comparison) -> dict[tuple[str, str], TableComparison]:
    return {(view.view, part.table): part for view in comparison.views for part in view.tables}


def counts(comparison: Comparison) -> dict[tuple[str, str], tuple[int, int, int]]:
    """What is not equal, by table: differing rows, rows here alone, rows there alone."""
    return {
        name: (part.differing, part.only_here, part.only_there)
        for name, part in tables(comparison).items()
        if not part.equal
    }


def test_equal_environments_are_equal(two: Two) -> None:
    comparison = two.compared()
    assert comparison.equal
    assert all(
        view.through == parse_instant("2024-01-05") and not view.notes for view in comparison.views
    )
    assert [name for name, part in tables(comparison).items() if part.compared > 20] == [
        *(("bought", "history"), ("bought", "latest"), ("seen", "history"), ("seen", "latest"))
    ]


ALTERED = {
    "a": ("price_sum_1d = price_sum_1d + 0.001", {"price_sum_1d"}),
    "B": ("price_sum_3d = 'nan'", {"price_sum_3d"}),
    "ä": ("price_stddev_pop_3d = NULL", {"price_stddev_pop_3d"}),
    "": ("cents = cents + 0.01", {"cents"}),
    "~": ("tags = list_append(tags, 'y')", {"tags"}),
    "it's": ("price_last_2_3d = [NULL]", {"price_last_2_3d"}),
    "\U0001f600": ("cents = -1, tags = ['z']", {"cents", "tags"}),
}
"""A key, what is done to its rows, and the columns that differ then."""


def test_altered_values_are_found(two: Two) -> None:
    name, expected = two.table("bought", "history"), 0
    for key, (change, _) in ALTERED.items():
        quoted = key.replace("'", "''")
        row = f"name = '{quoted}' AND price_sum_1d <> 0 AND NOT isnan(price_sum_3d)"
        [(count,)] = two.sql("other", f"UPDATE {name} SET {change} WHERE {row}")
        assert count > 0
        expected += count
    comparison = two.compared()
    assert counts(comparison) == {("bought", "history"): (expected, 0, 0)}
    differences = tables(comparison)["bought", "history"].differences
    assert len(differences) == expected <= KEPT
    assert {row.keys["name"]: (set(row.values), row.only_in) for row in differences} == {
        key: (columns, "") for key, (_, columns) in ALTERED.items()
    }
    assert {type(row.keys["day"]) for row in differences} == {date}


def test_floats_may_be_off_by_what_their_sums_are(two: Two) -> None:
    row = "name = 'both ways'"
    [(value,)] = two.sql(
        "local", f"SELECT price_sum_1d FROM features.bought WHERE {row} AND price_sum_1d <> 0"
    )
    assert value == 0.5
    two.sql(
        "other",
        f"UPDATE {two.table('bought', 'history')} SET price_sum_1d = price_sum_1d + 1e-3 WHERE"
        f" {row}",
    )
    assert two.compared("bought").equal, "1e-9 of 2e9"
    two.sql(
        "other",
        f"UPDATE {two.table('bought', 'history')} SET price_sum_1d = price_sum_1d + 10 WHERE {row}",
    )
    assert counts(two.compared("bought")) == {("bought", "history"): (1, 0, 0)}


def test_a_float_of_a_row_may_not(two: Two) -> None:
    two.sql(
        "other",
        f"UPDATE {two.table('seen', 'history')} SET price = price * (1 + 1e-8) WHERE price = 2.0",
    )
    assert counts(two.compared()) == {("seen", "history"): (1, 0, 0)}


def test_rows_that_one_alone_has_are_found(two: Two) -> None:
    name = two.table("seen", "latest")
    two.sql(
        "other", f"DELETE FROM {name} WHERE number = 2 AND seen_at < TIMESTAMP '2024-01-01 12:00'"
    )
    two.sql(
        "other",
        f"UPDATE {name} SET number = 77 WHERE number = -3 AND seen_at < TIMESTAMP '2024-01-01"
        " 12:00'",
    )
    [(name_found, (differing, only_ours, only_theirs))] = counts(two.compared()).items()
    assert (name_found, differing) == (("seen", "latest"), 0)
    assert only_ours > only_theirs > 0
    only = tables(two.compared())["seen", "latest"].differences
    assert {(row.only_in, row.keys["number"]) for row in only} == {
        ("local", 2),
        ("local", -3),
        ("other", 77),
    }


def test_a_doubled_row_is_found(two: Two) -> None:
    name = two.table("bought", "history")
    two.sql("other", f"INSERT INTO {name} SELECT * FROM {name} WHERE name = 'both ways'")
    assert counts(two.compared("bought"))["bought", "history"][:2] == (0, 0)


def test_a_column_of_another_type_is_found(two: Two) -> None:
    two.sql("other", f"ALTER TABLE {two.table('seen', 'latest')} ALTER price TYPE VARCHAR")
    comparison = tables(two.compared("seen"))
    assert comparison["seen", "history"].equal
    assert comparison["seen", "latest"].columns == ["price is float64 in local and string in other"]


def test_many_differences_are_counted_and_some_kept(two: Two) -> None:
    two.sql(
        "other",
        f"UPDATE {two.table('seen', 'history')} SET paid_at = paid_at + INTERVAL 1 MICROSECOND",
    )
    part = tables(two.compared("seen"))["seen", "history"]
    assert part.differing == part.compared > len(part.differences) == KEPT
    ours, theirs = part.differences[0].values["paid_at"]
    assert theirs - ours == timedelta(microseconds=1)


def test_what_both_have_computed_is_compared(two: Two) -> None:
    two.fill("late", "2024-01-03")
    comparison = two.compared(against="late")
    assert comparison.equal
    for view in comparison.views:
        assert view.through == parse_instant("2024-01-03")
        assert [part.table for part in view.tables] == ["history"]
        assert view.notes == [
            "latest: not compared, as local is computed further, through 2024-01-05T00:00:00Z"
        ]
    two.sql(
        "late",
        f"DELETE FROM {two.table('seen', 'history').replace('elsewhere', 'features')} WHERE"
        " number = 1",
    )
    assert set(counts(two.compared(against="late"))) == {("seen", "history")}


def test_what_is_not_computed_is_said(two: Two) -> None:
    two.sql("late", "CREATE SCHEMA raw", SALES)
    with ControlPlane(two.folder, "late") as plane:
        plane.deploy()
    comparison = two.compared("seen", against="late")
    assert (comparison.equal, comparison.views[0].problem) == (False, "nothing is computed in late")


def test_another_version_and_a_view_of_one_alone_are_said(two: Two) -> None:
    start = DEFINITIONS.index("@batch_feature_view(\n    entities=[visit]")
    end = DEFINITIONS.index("everything = ")
    pairs = (
        (DEFINITIONS[start:end], ""),
        ("bought, seen", "bought"),
        ('windows=["1d", "3d"]', 'windows=["1d", "2d"]'),
    )
    two.define(*pairs)
    with ControlPlane(two.folder, "other") as plane:
        plane.deploy()
    comparison = two.compared()
    problems = {view.view: view.problem for view in comparison.views}
    assert not comparison.equal
    assert problems["seen"] == "only local has it"
    assert re.fullmatch(
        "it is version [0-9a-f]{8} in local and [0-9a-f]{8} in other", problems["bought"]
    )
    with pytest.raises(PlaneError, match="environment 'other' has no feature view 'seen'"):
        two.compared("seen")
    with pytest.raises(PlaneError, match="there is no feature view 'sen'"):
        two.compared("sen")


def test_environments_that_cannot_be_compared(two: Two) -> None:
    for other, said in {
        "local": "environment 'local' can't be compared with itself",
        "nowhere": "there is no environment 'nowhere'",
        "late": "nothing is deployed to environment 'late'",
    }.items():
        with pytest.raises(PlaneError, match=said):
            two.compared(against=other)
    two.sql("other", f"DROP TABLE {two.table('bought', 'latest')}")
    with pytest.raises(PlaneError, match=r"environment 'other' has no table .*bought__latest"):
        two.compared()


def test_the_command_line(two: Two) -> None:
    two.sql("other", f"UPDATE {two.table('seen', 'history')} SET price = 3 WHERE number = 2")
    two.sql("other", f"DELETE FROM {two.table('bought', 'history')} WHERE name = 'both ways'")
    output = plane(two.folder, "verify", "--against", "other", exits=1).stdout
    assert re.search(
        r"difference: seen, history, seen_at=2024-.*Z, ok=False, number=2 from .*Z: price .* in"
        r" local, 3.0 in",
        output,
    )
    assert re.search(r"difference: bought, history, name=both ways, day=.* only in local", output)
    assert "more differing rows; --json lists the first" in output
    assert output.endswith("local and other are not equal\n")
    printed = json.loads(
        plane(two.folder, "verify", "seen", "--against", "other", "--json", exits=1).stdout
    )
    assert (printed["environment"], printed["against"], printed["equal"]) == (
        "local",
        "other",
        False,
    )
    [view] = printed["views"]
    assert [part["table"] for part in view["tables"]] == ["history", "latest"]
    assert view["tables"][0]["differences"][0]["values"]["price"][1] == 3.0
