"""`plane preview`: a view's values before a deploy, equal to those of a training set."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from controlplane import ControlPlane
from controlplane.cli.results import bars
from controlplane.errors import PlaneError
from controlplane.training.profile import BINS, profiles
from tests.cli.test_commands import CREATE, shape
from tests.shop import DEFINITIONS, Shop

PROFILE = {
    **dict.fromkeys(("name", "type"), "str"),
    **dict.fromkeys(("values", "nulls", "minimum", "maximum"), "int"),
    "frequent": [],
    "histogram": ["int"],
}
CHAINED = """

spending = BatchSource(
    "spending", table="features.spend", timestamp="valid_from", settling_delay="1h"
)


@batch_feature_view(
    entities=[user],
    sources=[spending],
    schedule="1d",
    start="2024-01-01",
    features=[Aggregate("max", "amount_sum_2d", windows=["3d"])],
    owner=OWNER,
)
def peak(spending):
    return f"SELECT user_id, valid_from, amount_sum_2d FROM {spending}"
"""
EVERYTHING = (
    "SELECT schema_name || '.' || table_name FROM duckdb_tables()"
    " UNION ALL SELECT schema_name FROM duckdb_schemas() WHERE NOT internal"
    " UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
)


def test_values_are_shown_before_a_deploy(shop: Shop):
    before = sorted(shop.sql(EVERYTHING))
    done = shop.plane("preview", "spend")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0][:4] == ["spend", "at", "2024-01-05T00:00:00Z:", "3"]
    assert lines[3:6] == [
        ["count_1d", "int64", "0.0%", "0", "to", "1", "▄", "█"],
        ["amount_sum_2d", "int64", "33.3%", "30", "to", "40", "█", "█"],
        ["country", "string", "0.0%", "NO", "(1),", "FR", "(1),", "DE", "(1)"],
    ]
    assert lines[7:] == [
        ["user_id", "count_1d", "amount_sum_2d", "country"],
        ["int64", "int64", "int64", "string"],
        ["1", "1", "30", "NO"],
        ["2", "0", "null", "FR"],
        ["3", "1", "40", "DE"],
    ]
    assert sorted(shop.sql(EVERYTHING)) == before
    assert not (shop.folder / ".plane" / "state.db").exists()


def test_the_values_are_those_of_training_and_of_the_deployed_view(shop: Shop):
    shop.plane(*CREATE, "--from-source")
    shop.ready()
    with ControlPlane(shop.folder) as plane:
        trained = plane.dataset("one").to_arrow().to_pylist()
        assert len(trained) == 4
        for row in trained:
            [previewed] = plane.preview(
                "spend", keys={"user_id": row["user_id"]}, at=row["paid_at"]
            ).rows
            assert {name: row[f"spend__{name}"] for name in previewed if name != "user_id"} == {
                name: value for name, value in previewed.items() if name != "user_id"
            }
        for row in plane.preview("spend").rows:
            online = plane.get("shop", {"user_id": row["user_id"]})
            assert {n.removeprefix("spend__"): online[n] for n in online} == {
                name: value for name, value in row.items() if name != "user_id"
            }


def test_json_has_all_rows_and_a_profile_of_each_feature(shop: Shop):
    found = shop.plane(
        "preview", "spend", "--key", "user_id=1", "--at", "2024-01-02T00:00", "--json"
    ).json
    assert shape(found["features"]) == [PROFILE]
    assert {name: found[name] for name in ("view", "at", "rows")} == {
        "view": "spend",
        "at": "2024-01-02T00:00:00Z",
        "rows": [{"user_id": 1, "count_1d": 1, "amount_sum_2d": 10, "country": "DE"}],
    }
    assert len(shop.plane("preview", "spend", "--rows", "2", "--json").json["rows"]) == 2


def test_a_preview_shows_the_edit_and_not_what_is_deployed(shop: Shop):
    shop.ready()
    shop.redefine(('"sum", "amount", windows=["2d"]', '"max", "amount", windows=["4d"]'))
    [row] = shop.plane("preview", "spend", "-k", "user_id=1", "--json").json["rows"]
    assert row["amount_max_4d"] == 30


def test_a_view_of_a_view_is_previewed_before_either_is_deployed(shop: Shop):
    shop.define(DEFINITIONS + CHAINED)
    shop.resettle(("2024-01-05T00:00:00Z", "2024-01-05T12:00:00Z"))
    rows = shop.plane("preview", "peak", "--json").json["rows"]
    before = shop.plane("preview", "peak", "--at", "2024-01-03T01:00", "--json").json["rows"]
    shop.ready()
    shown = "SELECT user_id, amount_sum_2d_max_3d FROM features.peak__latest ORDER BY user_id"
    assert [tuple(row.values()) for row in rows] == shop.sql(shown)
    assert [row["user_id"] for row in before] == [1]


def test_a_value_out_of_range_is_named_with_its_key(shop: Shop):
    shop.sql("UPDATE raw.payments SET amount = 9223372036854775807")
    shop.sql("INSERT INTO raw.payments VALUES (3, TIMESTAMP '2024-01-04 12:00', 1, 'DE')")
    said = shop.fails("preview", "spend")
    assert (
        "feature 'amount_sum_2d' (int64): 9223372036854775808 for user_id = 3 is out of range"
        in said
    )
    assert "(end)" not in said
    with ControlPlane(shop.folder) as plane:
        preview = plane.preview("spend")
        with pytest.raises(PlaneError, match="9223372036854775808 for user_id = 3 is out of range"):
            preview.export(shop.folder / "spend.parquet")
        with pytest.raises(PlaneError, match="9223372036854775808 for user_id = 3 is out of range"):
            preview.to_arrow()


def test_a_frame_of_a_preview(shop: Shop):
    with ControlPlane(shop.folder) as plane:
        preview = plane.preview("spend", rows=2)
        assert preview.at == datetime(2024, 1, 5, tzinfo=UTC)
        assert preview.to_arrow().column_names == [
            "user_id",
            "count_1d",
            "amount_sum_2d",
            "country",
        ]
        assert len(preview.to_pandas()) == 2
        with pytest.raises(PlaneError, match="key 'user_id' is of type int64"):
            plane.preview("spend", keys={"user_id": 1.5})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("spent",), "there is no feature view 'spent'"),
        (("spend", "--at", "2024-01-06"), "choose a time up to now, 2024-01-05T00:00:00Z"),
        (("spend", "--at", "today"), "--at: 'today' is not a time"),
        (("spend", "--key", "user_id=x"), "key 'user_id' is of type int64"),
        (("spend", "--key", "shop=1"), "its keys are: user_id"),
        (("spend", "--key", "user_id"), "write name=value"),
    ],
)
def test_what_can_not_be_previewed_is_refused(shop: Shop, arguments: tuple[str, ...], words: str):
    assert words in shop.fails("preview", *arguments)


def test_a_view_without_rows_yet(shop: Shop):
    out = shop.plane("preview", "spend", "--at", "2023-12-31").out
    assert "No entity has a row by then." in out


def test_a_view_whose_intervals_need_a_statement_each_is_refused(shop: Shop):
    # The result depends on the order of rows.
    shop.redefine(
        (
            "SELECT user_id, paid_at, amount, country FROM {payments}",
            "SELECT user_id, paid_at, amount, country FROM {payments} LIMIT 2",
        )
    )
    said = shop.fails("preview", "spend")
    assert "(LIMIT), each in a statement of its own: a preview is one statement" in said
    assert "look at its tables with `plane query`" in said


def test_profiles_of_odd_values():
    types = {"n": "float64", "d": "decimal(9,2)", "l": "array<int64>", "b": "bool", "none": "int64"}
    rows = [
        {"n": value, "d": Decimal(i), "l": [i], "b": i > 1, "none": None}
        for i, value in enumerate([-1e308, 1e308, float("nan"), float("inf"), None])
    ]
    n, d, listed, flags, none = profiles(types, rows)
    assert (n.values, n.nulls, n.minimum, n.maximum) == (4, 1, -1e308, 1e308)
    assert list(n.histogram) == [1, *[0] * (BINS - 2), 1]
    assert (d.minimum, d.maximum, sum(d.histogram)) == (0, 4, 5)
    assert (listed.values, listed.minimum, list(listed.histogram)) == (5, None, [])
    assert flags.frequent == [(True, 3), (False, 2)]
    assert (none.values, none.null_share) == (0, 1.0)
    [close] = profiles({"i": "int64"}, [{"i": 2**62}, {"i": 2**62 + 1}])
    assert list(close.histogram) == [2]
    [only_nan] = profiles({"n": "float64"}, [{"n": float("nan")}])
    assert (only_nan.values, only_nan.minimum) == (1, None)
    assert profiles({"i": "int64"}, [])[0].null_share == 0
    day = date(2024, 1, 1)
    [times] = profiles({"d": "date"}, [{"d": "infinity"}, {"d": day}])
    assert (times.values, times.minimum, times.maximum) == (2, day, day)


def test_a_bin_with_any_value_is_seen():
    assert bars([0, 1, 1000]) in {" ▁█", " _#"}
    assert bars([]) == ""


STATIC = """

profiles = BatchSource("profiles", table="raw.profiles")


@batch_feature_view(
    entities=[user],
    sources=[profiles],
    schedule="1d",
    start="2024-01-01",
    features=[Attribute("plan", "string")],
    owner=OWNER,
)
def member(profiles):
    return f"SELECT DISTINCT user_id, plan FROM {profiles}"
"""


def test_a_view_of_a_table_without_times_is_previewed(shop: Shop):
    shop.sql("CREATE TABLE raw.profiles AS SELECT 1::BIGINT AS user_id, 'gold' AS plan")
    shop.define(DEFINITIONS + STATIC)
    rows = shop.plane("preview", "member", "--json").json["rows"]
    assert rows == [{"user_id": 1, "plan": "gold"}]
    shop.ready()
    assert shop.sql("SELECT user_id, plan FROM features.member__latest") == [(1, "gold")]
    early = shop.plane("preview", "member", "--at", "2023-12-31", "-k", "user_id=1", "--json").json
    assert early["rows"] == [{"user_id": 1, "plan": None}]
