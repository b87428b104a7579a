"""How fresh a view is said to be, and what the doctor finds."""

from __future__ import annotations

import socket

import pytest

from connectors.redis.store import connect
from controlplane.errors import TransientError
from tests.shop import DEFINITIONS, Shop


def status(shop: Shop) -> dict:
    [found] = shop.plane("status", "--json").json
    return dict(found)


def findings(shop: Shop, code: int = 1) -> dict[str, tuple[str, str]]:
    """What is not right, by subject: what was found, and the remedy."""
    found = shop.plane("doctor", "--json", code=code).json
    return {f["subject"]: (f["message"], f["hint"]) for f in found if f["level"] != "ok"}


def test_states(shop):
    shop.plane("deploy")
    found = status(shop)
    assert (found["state"], found["missing_intervals"], found["frontier"]) == (
        "not computed",
        4,
        None,
    )
    assert (found["sync_lag"], found["online"], found["shown"]) == (None, True, True)
    shop.plane("run", "--start", "2024-01-02", "--end", "2024-01-03")
    found = status(shop)
    assert (found["state"], found["missing_intervals"], found["frontier"]) == ("behind", 3, None)
    shop.plane("run", "--end", "2024-01-03")
    found = status(shop)
    assert (found["state"], found["missing_intervals"]) == ("behind", 2)
    assert (found["frontier"], found["freshness"]) == ("2024-01-03T00:00:00Z", "P2D")
    shop.plane("run")
    found = status(shop)
    assert (found["state"], found["missing_intervals"], found["sync_lag"]) == (
        "up to date",
        0,
        "P0D",
    )
    assert (found["last_interval_start"], found["last_rows"]) == ("2024-01-03T00:00:00Z", 2)
    shop.resettle(("2024-01-05T00:00:00Z", "2024-01-06T12:00:00Z"))
    shop.plane("deploy")
    found = status(shop)
    assert (found["state"], found["missing_intervals"], found["freshness"]) == (
        "behind",
        1,
        "P1DT43200S",
    )


def test_b19_the_last_rows_are_those_of_the_range_that_is_named_with_them(shop):
    """Case B19: after a first run, the rows of all its intervals were shown as those of the
    last."""
    shop.ready()
    found = status(shop)
    assert (found["last_interval_start"], found["last_interval_end"]) == (
        "2024-01-01T00:00:00Z",
        "2024-01-05T00:00:00Z",
    )
    assert (found["last_rows"], found["last_intervals"]) == (4, 4)
    assert "4 in 4 intervals" in shop.plane("status").out
    shop.plane("run", "--start", "2024-01-04", "--end", "2024-01-05", "--recompute")
    found = status(shop)
    assert (found["last_interval_start"], found["last_interval_end"]) == (
        "2024-01-04T00:00:00Z",
        "2024-01-05T00:00:00Z",
    )
    assert (found["last_rows"], found["last_intervals"]) == (2, 1)
    assert "intervals" not in shop.plane("status").out.replace("missing_intervals", "")


def test_b19_an_environment_without_an_online_store_says_so(make):
    """Case B19: it said "not synced", and `"online": true`."""
    shop = make(online=None)
    shop.ready()
    found = status(shop)
    assert (found["online"], found["sync_lag"]) == (None, None)
    out = shop.plane("status").out
    assert "no online store" in out
    assert "not synced" not in out


def test_a_view_whose_time_has_not_come(shop):
    shop.redefine(('start="2024-01-01"', 'start="2024-01-05"'))
    shop.ready()
    found = status(shop)
    assert (found["state"], found["missing_intervals"], found["last_rows"]) == (
        "not due yet",
        0,
        None,
    )
    assert "not due yet" in shop.plane("status").out


def test_how_far_the_online_store_is_behind(shop):
    shop.plane("deploy")
    shop.plane("run", "--end", "2024-01-03")
    shop.resettle((shop.online, "redis://127.0.0.1:1"))
    shop.fails("run")
    shop.resettle(("redis://127.0.0.1:1", shop.online))
    found = status(shop)
    assert found["state"] == "up to date"
    assert found["sync_lag"] not in (None, "P0D")


def test_a_store_that_does_not_answer_is_told_and_is_no_failure(shop):
    shop.ready()
    shop.resettle((shop.online, "redis://127.0.0.1:1"))
    found = status(shop)
    assert (found["state"], found["sync_lag"]) == ("up to date", None)
    assert found["online_problem"].startswith("the online store at 127.0.0.1:1/0: ")
    out = shop.plane("status").out
    assert "no reply" in out
    assert out.count("the online store at 127.0.0.1:1/0: ") == 1


def test_b2_a_store_that_is_away_is_waited_for_once(shop):
    """Case B2: each view waited for it as long again."""
    for number in range(4):
        name = f"more{number}"
        shop.define(
            DEFINITIONS,
            ("def spend(", f"def {name}("),
            ('Entity("user"', f'Entity("user_{name}"'),
            ("payments = Batch", f"{name}_payments = Batch"),
            ('BatchSource("payments"', f'BatchSource("{name}_payments"'),
            ("sources=[payments]", f"sources=[{name}_payments]"),
            (f"def {name}(payments)", f"def {name}({name}_payments)"),
            ("FROM {payments}", f"FROM {{{name}_payments}}"),
            ('shop = FeatureService("shop", features=[spend], owner=OWNER)\n', ""),
            file=f"{name}.py",
        )
    shop.ready()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        store = connect(url=url, timeout_seconds=0.2)
        with pytest.raises(TransientError):
            store.get_fields(b"h")
        store.close()
        once = connections(silent)
        shop.resettle((f'url = "{shop.online}"', f'url = "{url}", timeout_seconds = 0.2'))
        views = shop.plane("status", "--json").json
        assert len(views) == 5
        assert {"Timeout" in view["online_problem"] for view in views} == {True}
        assert connections(silent) == once > 0


def connections(server: socket.socket) -> int:
    """How many were made since the last look."""
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_without_an_online_store(make):
    shop = make(online=None)
    shop.ready()
    found = status(shop)
    assert (found["state"], found["sync_lag"], found["online_problem"]) == ("up to date", None, "")
    assert findings(shop, code=0) == {}
    assert "has no online store" in shop.fails("get", "shop", "-k", "user_id=1")


def test_everything_is_right(shop):
    shop.ready()
    assert findings(shop, code=0) == {}
    out = shop.plane("doctor").out
    assert "definitions: 1 feature views" in out


def test_nothing_is_deployed(shop):
    assert findings(shop, code=0) == {"release": ("nothing is deployed yet", "run `plane deploy`")}


def test_all_that_is_broken_is_found_at_once(shop):
    shop.ready()
    (shop.folder / ".plane" / "airflow" / "local" / "dags" / "CURRENT").write_text("elsewhere\n")
    shop.define("import no_such_package\n", file="other.py")
    shop.define("x = = 1\n", file="third.py")
    shop.resettle((shop.online, "redis://127.0.0.1:1"))
    done = shop.plane("doctor", "--json", code=1).json
    broken = [(f["subject"], f["message"]) for f in done if f["level"] == "error"]
    assert [subject for subject, _ in broken] == [
        "definitions",
        "definitions",
        "release",
        "online store",
    ]
    told = dict(broken[1:])
    assert broken[0][1].startswith("features/other.py:1: ")
    assert told["definitions"].startswith("features/third.py:1: ")
    assert told["release"].startswith("Airflow reads elsewhere, but ")
    assert told["online store"].startswith("the online store at 127.0.0.1:1/0: ")
    assert all(f["hint"] for f in done if f["level"] == "error")


def test_a_warehouse_and_a_state_that_are_none(shop):
    shop.ready()
    (shop.folder / ".plane" / "warehouse.duckdb").write_text("no database " * 1000)
    (shop.folder / ".plane" / "state.db").write_text("no database " * 1000)
    found = findings(shop)
    assert found["warehouse"][0].startswith("opening the warehouse")
    assert found["release"][0].startswith("The state in the file")
    assert set(found) == {"warehouse", "definitions", "release"}
