"""Lists, descriptions, deployments and runs: what they show, as text and as JSON."""

from __future__ import annotations

import pytest

from controlplane import ControlPlane, FeatureClient
from controlplane.errors import PlaneError
from tests.cli.test_commands import CREATE, shape
from tests.cli.test_preview import CHAINED
from tests.shop import DEFINITIONS, Shop

VIEW = {
    **dict.fromkeys(("name", "state", "schedule", "owner", "description"), "str"),
    "keys": ["str"],
    "sources": ["str"],
    "features": "int",
    "online": "bool",
}
FEATURE = {**dict.fromkeys(("name", "type", "meaning", "owner"), "str"), "services": ["str"]}
SERVICE = {
    **dict.fromkeys(("name", "owner", "description"), "str"),
    "views": ["str"],
    "features": "int",
    "request": {},
}
ENTITY = {
    **dict.fromkeys(("name", "owner", "description"), "str"),
    "keys": {"user_id": "str"},
    "views": ["str"],
}
SOURCE = {
    **dict.fromkeys(("name", "table", "timestamp", "settling_delay", "owner"), "str"),
    "description": "str",
    "views": ["str"],
}
CALCULATED = """
from controlplane import RequestSource, calculation

basket = RequestSource("basket", fields={"price": "int64"})
worth = FeatureService(
    "worth",
    features=[spend, calculation("dear", "bool", "price > spend__amount_sum_2d")],
    request=basket,
    owner="other@example.com",
)
"""
IMPORTED = ("import Aggregate,", "import Aggregate, expect,")
CHECKED = (
    'BatchSource("payments", table="raw.payments", timestamp="paid_at")',
    'BatchSource("payments", table="raw.payments", timestamp="paid_at", expectations=['
    'expect.between("amount", 0, 25, severity="warning")])',
)


def words(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_lists_have_a_stable_shape(shop: Shop):
    assert shape(shop.plane("list", "--json").json) == {
        "views": [VIEW],
        "features": [FEATURE],
        "services": [SERVICE],
        "entities": [ENTITY],
        "sources": [SOURCE],
    }
    assert shape(shop.plane("list", "entities", "--json").json) == [ENTITY]
    assert shop.plane("list", "datasets", "--json").json == []


def test_a_view_is_new_deployed_edited_or_removed(shop: Shop):
    def state() -> dict[str, str]:
        return {v["name"]: v["state"] for v in shop.plane("list", "views", "--json").json}

    assert state() == {"spend": "new"}
    shop.plane("deploy", "--yes")
    assert state() == {"spend": "deployed"}
    shop.redefine(('windows=["2d"]', 'windows=["3d"]'))
    assert state() == {"spend": "edited"}
    shop.redefine(("def spend(", "def spent("), ("features=[spend]", "features=[spent]"))
    assert state() == {"spent": "new", "spend": "removed"}
    assert words(shop.plane("list", "views").out)[2][:2] == ["spend", "removed"]


def test_everything_is_listed_by_name(shop: Shop):
    out = shop.plane("list").out
    assert words(out)[1:] == [
        ["feature", "view", "spend", "team@example.com", "What", "a", "user", "spends."],
        ["feature", "service", "shop", "team@example.com"],
        ["entity", "user", "team@example.com"],
        ["source", "payments"],
        ["3", "features:", "plane", "list", "features"],
    ]
    assert ["shop", "3", "spend", "team@example.com"] in words(shop.plane("list", "services").out)
    assert ["payments", "raw.payments", "paid_at", "0s", "spend"] in words(
        shop.plane("list", "sources").out
    )
    assert ["user", "user_id", "int64", "spend", "team@example.com"] in words(
        shop.plane("list", "entities").out
    )
    assert "sum(amount) over 2d: int64" in shop.plane("list", "features").out
    assert "choose from" not in shop.plane("list", "nothing", code=2).err


def facts(text: str) -> dict[str, str]:
    """The facts of a description: each is two spaces or more behind its noun."""
    pairs = (line.partition("  ") for line in text.splitlines())
    return {noun: fact.strip() for noun, gap, fact in pairs if gap}


def test_a_view_is_described_with_its_sql_and_its_readers(shop: Shop):
    shop.define(DEFINITIONS + CHAINED)
    shop.ready()
    out = shop.plane("describe", "spend").out
    described = facts(out)
    assert described["meaning"] == "What a user spends."
    assert described["read by"] == "shop, peak"
    assert described["state"] == "deployed, up to date"
    assert described["computed through"] == "2024-01-05T00:00:00Z"
    assert described["defined at"].startswith("features/shop.py:")
    assert out.endswith("SELECT user_id, paid_at, amount, country FROM payments\n")
    [found] = shop.plane("describe", "spend", "--json").json
    assert found["sql"] == "SELECT user_id, paid_at, amount, country FROM payments"
    assert [feature["name"] for feature in found["features"]] == [
        "spend__count_1d",
        "spend__amount_sum_2d",
        "spend__country",
    ]
    assert found["facts"]["last rows"] == 4


def test_every_kind_of_name_is_described(shop: Shop):
    shop.define(DEFINITIONS + CALCULATED)
    shop.plane(*CREATE, "--from-source")
    with ControlPlane(shop.folder) as plane:
        kinds = {
            name: [description.kind for description in plane.describe(name)]
            for name in ("spend", "spend__country", "dear", "worth", "user", "payments", "one")
        }
        assert kinds == {
            "spend": ["feature view"],
            "spend__country": ["feature"],
            "dear": ["feature"],
            "worth": ["feature service"],
            "user": ["entity"],
            "payments": ["source"],
            "one": ["training set"],
        }
        [feature] = plane.describe("spend__country")
        assert feature.facts["read by"] == ["shop", "worth"]
        assert feature.facts["state"] == "new"
        [dear] = plane.describe("dear")
        assert dear.facts["meaning"] == "price > spend__amount_sum_2d"
        [worth] = plane.describe("worth")
        assert worth.facts["request"] == {"price": "int64"}
        assert worth.facts["owner"] == "other@example.com"
        with pytest.raises(PlaneError, match="nothing is named 'spent'") as raised:
            plane.describe("spent")
        assert "choose from: spend, shop, worth, user, payments" in raised.value.hint
    assert facts(shop.plane("describe", "one").out)["rows"] == "4"


def test_a_description_starts_no_online_store(shop: Shop):
    shop.ready()
    shop.resettle((f'url = "{shop.online}"', 'url = "redis://127.0.0.1:1"'))
    assert facts(shop.plane("describe", "spend").out)["state"] == "deployed, up to date"


def test_the_history_says_who_deployed_what(shop: Shop):
    assert shop.plane("history").out == "Nothing is deployed yet.\n"
    shop.plane("deploy", "--yes")
    shop.define(
        (DEFINITIONS + CHAINED)
        .replace('windows=["2d"]', 'windows=["3d"]')
        .replace("sum_2d", "sum_3d")
    )
    shop.plane("deploy", "--yes")
    shop.define(DEFINITIONS, ("team@example.com", "crew@example.com"))
    shop.plane("deploy", "--yes")
    found = shop.plane("history", "--json").json
    assert [
        [entry[n] for n in ("number", "created", "redefined", "dropped")] for entry in found
    ] == [
        [3, [], ["spend"], ["peak"]],
        [2, ["peak"], ["spend"], []],
        [1, ["shop", "spend"], [], []],
    ]
    assert len({entry["release"] for entry in found}) == 3
    [newest] = shop.plane("history", "--limit", "1", "--json").json
    assert newest == found[0]
    assert "~ spend, - peak" in words_of_line(shop.plane("history").out, 1)


def words_of_line(text: str, number: int) -> str:
    """A line of a table with single spaces."""
    return " ".join(text.splitlines()[number].split())


def test_logs_say_what_runs_published_and_refused(shop: Shop):
    assert "nothing is deployed" in shop.fails("logs", "spend")
    shop.redefine(IMPORTED, CHECKED)
    shop.plane("deploy", "--yes")
    assert shop.plane("logs", "spend").out == "No run is recorded.\n"
    shop.plane("run", "--start", "2024-01-01", "--end", "2024-01-03")
    shop.plane("run")
    [second, first] = shop.plane("logs", "spend", "--json").json
    assert (first["rows"], first["interval"]["end"], first["failed"]) == (
        2,
        "2024-01-03T00:00:00Z",
        [],
    )
    assert second["state"] == "published"
    [warning] = second["failed"]
    assert warning.startswith("warning: source payments, ")
    assert "2 of 2 fail" in warning
    out = shop.plane("logs", "spend", "--limit", "1").out
    assert [row[1] for row in words(out)[1:2]] == ["published"]
    assert out.splitlines()[-1].startswith("warning: [2024-01-03T00:00:00Z, ")
    # The same intervals again, with a stricter expectation: nothing is published.
    shop.redefine(IMPORTED, (CHECKED[0], CHECKED[1].replace(', severity="warning"', "")))
    shop.plane("deploy", "--yes")
    shop.plane("run", "--recompute", code=1)
    newest = shop.plane("logs", "spend", "--json").json[0]
    assert (newest["state"], newest["rows"]) == ("refused", None)
    assert newest["failed"][0].startswith("error: source payments, ")
    assert "choose from: spend" in shop.fails("logs", "spent")


def test_a_client_lists_the_services(shop: Shop):
    client = FeatureClient(shop.folder)
    with pytest.raises(PlaneError, match="nothing is deployed"):
        client.services()
    shop.plane("deploy", "--yes")
    assert client.services() == ["shop"]
    client.close()
