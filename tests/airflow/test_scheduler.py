"""The rendered DAGs under a real scheduler: ranges, partitions, backfills, retries, releases, the
wall clock.

One Airflow serves all tests; they build on each other in their order: others run until Airflow has
noticed that a backfill is over. Two environments are deployed: in `local` it is always 2013-01-03,
`live` follows the wall clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from controlplane.airflow.bundle import ReleaseBundle
from controlplane.base.naming import POOL, partition_key
from controlplane.base.ports import OnlineStore
from controlplane.base.types import floor
from controlplane.embedded import airflow
from controlplane.embedded.airflow_client import AirflowClient
from controlplane.errors import PermanentError
from controlplane.workspace import connectors
from tests.airflow.conftest import (
    LIVE_DELAY,
    Deployed,
    compiled,
    deploy,
    execute,
    hold,
    live_manifest,
    load_data,
    online,
    query,
)

pytestmark = pytest.mark.airflow
HOUR = timedelta(hours=1)
DELAYS, DAYS, LIVE = (
    "flights.local.airport_delays",
    "flights.local.airport_days",
    "flights.live.airport_delays",
)
HELD_UP = "2013-01-02T11:00:00"


@dataclass(frozen=True)
class House:
    """A running Airflow and what it works on."""

    client: AirflowClient
    local: Deployed
    live: Deployed
    store: OnlineStore

    def run(self, dag_id: str, state: str = "success", **request: Any) -> dict[str, Any]:
        """Start a run and wait until it ends as `state` says."""
        run_id = self.client.trigger(dag_id, **request)
        self.settle(dag_id, [run_id], state)
        return self.client.run(dag_id, run_id)

    def settle(self, dag_id: str, run_ids: list[str], state: str = "success") -> None:
        """Wait for runs, and show the failed tasks' logs if they end in another way."""
        states = self.client.wait(dag_id, run_ids, timeout=150)
        logs = [
            self.client.log(dag_id, run_id, task["task_id"], task["try_number"])
            for run_id in run_ids
            for task in self.client.task_instances(dag_id, run_id)
            if states[run_id] != state and task["state"] == "failed"
        ]
        assert states == dict.fromkeys(run_ids, state), "\n".join(logs)

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """One task of a run."""
        return next(
            t for t in self.client.task_instances(dag_id, run_id) if t["task_id"] == task_id
        )

    def published(self, view: str = "airport_delays") -> list[tuple[Any, ...]]:
        """The ledger of a view: where each publication's interval begins and ends."""
        return query(
            "SELECT CAST(interval_start AS VARCHAR), CAST(interval_end AS VARCHAR) FROM _plane.ledger "
            f"WHERE feature_view = 'features.{view}' ORDER BY version",
            self.local.path,
        )


def start_backfill(house: House, first: datetime, last: datetime, **options: Any) -> int:
    """Queue a backfill as soon as Airflow has noticed that the one before has ended."""

    def started() -> int | None:
        try:
            return house.client.backfill(DELAYS, first, last, **options)
        except PermanentError as error:
            if "already a running backfill" not in error.message:
                raise
            return None

    backfill: int = until(started)
    return backfill


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """What `found` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)
    return result


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[House]:
    root = tmp_path_factory.mktemp("scheduler")
    warehouse, home = root / "warehouse.duckdb", root / "airflow"
    load_data(warehouse)
    local = deploy(compiled(warehouse), root / "local", warehouse)
    live = deploy(live_manifest(warehouse), root / "live", warehouse)
    classpath = f"{ReleaseBundle.__module__}.{ReleaseBundle.__name__}"
    bundles = [
        {
            "name": name,
            "classpath": classpath,
            "kwargs": {"root": str(root / name), "refresh_interval": 3},
        }
        for name in ("local", "live")
    ]
    url = f"{valkey_url}/2"
    connections = {
        "plane_warehouse": json.dumps(
            {"conn_type": "duckdb", "host": str(warehouse), "extra": {"lock_timeout": 4}}
        ),
        "plane_online": airflow.connection("plane_redis", {"url": url}),
    }
    store = connectors.open_store({"url": url})
    try:
        server = airflow.up(
            home,
            bundle_root=root / "local",
            bundle_config=json.dumps(bundles),
            connections=connections,
            pools={POOL: 1},
        )
        client = server.client()
        until(lambda: {DELAYS, DAYS, LIVE} <= {dag["dag_id"] for dag in client.dags()})
        yield House(client, local, live, store)
    finally:
        airflow.down(home)
        store.close()


def test_airflow_reads_every_dag(house):
    assert house.client.import_errors() == []
    shown = {dag["dag_id"]: dag for dag in house.client.dags()}
    assert len(shown) == 4
    assert shown[DELAYS]["timetable_summary"] == "every 1h, 30m after the end"
    assert shown[DELAYS]["owners"] == ["ops@example.com"]
    assert not any(dag["is_paused"] for dag in shown.values())


def test_a_range_announces_every_partition_and_what_waits_for_them_runs(house):
    conf = {"start": "2013-01-01", "end": "2013-01-02T22:00:00Z"}
    run = house.run(DELAYS, conf=conf)
    assert run["bundle_version"] == house.local.release.digest
    assert house.published()[-1] == ("2013-01-01 00:00:00", "2013-01-02 22:00:00")
    events = house.client.asset_events(dag_id=DELAYS, run_id=run["dag_run_id"])
    start = datetime(2013, 1, 1, tzinfo=UTC)
    keys = [partition_key(start + index * HOUR) for index in range(46)]
    for task in ("publish", "announce"):  # one emitter of each asset
        assert sorted(e["partition_key"] for e in events if e["source_task_id"] == task) == keys
    assert len(events) == 2 * len(keys)
    day = until(lambda: house.client.runs(DAYS))
    assert [r["partition_key"] for r in day] == ["2013-01-01T00:00:00"]
    assert [r["run_type"] for r in day] == ["asset_triggered"]
    house.settle(DAYS, [day[0]["dag_run_id"]])
    assert house.published("airport_days") == [("2013-01-01 00:00:00", "2013-01-02 00:00:00")]


def test_a_backfill_fills_the_rest_and_completes_the_next_day(house):
    first = datetime(2013, 1, 2, 22, tzinfo=UTC)
    backfill = start_backfill(house, first, datetime(2013, 1, 4, tzinfo=UTC), max_active_runs=2)
    runs = until(lambda: house.client.backfill_runs(backfill))
    house.settle(DELAYS, [run["dag_run_id"] for run in runs])
    keys = [partition_key(first + index * HOUR) for index in range(2)]
    assert [run["partition_key"] for run in runs] == keys  # nothing beyond the environment's now
    assert sorted(house.published()[-2:]) == [(k.replace("T", " "), _next(k)) for k in keys]
    days = until(
        lambda: [r for r in house.client.runs(DAYS) if r["partition_key"] == "2013-01-02T00:00:00"]
    )
    house.settle(DAYS, [days[0]["dag_run_id"]])
    assert [values for _, values in _online(house)] == 2 * [(1, 24, 46 + 47, "N47")]


def test_a_run_that_is_run_again_leaves_one_copy(house):
    run = house.run(DELAYS, partition_key="2013-01-02T10:00:00")
    tables = _tables(house)
    house.client.clear(DELAYS, run["dag_run_id"])
    house.settle(DELAYS, [run["dag_run_id"]])
    assert house.published()[-2:] == [("2013-01-02 10:00:00", "2013-01-02 11:00:00")] * 2
    assert _tables(house) == tables


def test_a_failure_of_the_moment_waits_for_its_retry(house):
    """It comes after half a minute, in which the next tests look at other DAGs."""
    with hold(house.local.path) as holder:
        run_id = house.client.trigger(DELAYS, partition_key=HELD_UP)
        stage = until(lambda: _in_state(house, run_id, "stage", {"up_for_retry"}))
        assert stage["try_number"] == 1
        assert f"open by process {holder.pid}" in house.client.log(DELAYS, run_id, "stage", 1)


def test_a_partition_off_the_grid_is_refused(house):
    with pytest.raises(PermanentError, match="is not the key of a partition: they begin every 1h"):
        house.client.trigger(DELAYS, partition_key="2013-01-02T12:30:00")


def test_on_the_wall_clock_the_newest_interval_that_is_due_runs_by_itself(house):
    [run, *_] = until(lambda: house.client.runs(LIVE, run_type="scheduled"))
    start = datetime.fromisoformat(run["partition_date"])
    assert datetime.fromisoformat(run["run_after"]) == start + HOUR + LIVE_DELAY
    assert run["partition_key"] == partition_key(start)
    assert datetime.now(UTC) - start < 2 * HOUR + LIVE_DELAY + timedelta(minutes=10)
    house.settle(LIVE, [run["dag_run_id"]])


def test_an_interval_that_has_ended_is_waited_for_until_it_has_settled(house):
    start = floor(datetime.now(UTC), HOUR) - HOUR
    run_id = house.client.trigger(LIVE, partition_key=partition_key(start))
    until(lambda: house.task(LIVE, run_id, "stage")["state"] == "deferred")
    trigger = house.task(LIVE, run_id, "stage")["trigger"]
    assert trigger["classpath"].endswith("DateTimeTrigger")


def test_b7_while_the_releases_are_away_airflow_keeps_its_dags(house):
    """Case B7: within seconds all DAGs were stale, and stayed so until their files were read
    again."""
    shown = {dag["dag_id"] for dag in house.client.dags()}
    away = house.live.root.with_name("away")
    house.live.root.rename(away)
    try:
        for _ in range(24):  # four times the interval at which the bundle is refreshed
            assert {dag["dag_id"] for dag in house.client.dags()} == shown
            time.sleep(0.5)
    finally:
        away.rename(house.live.root)


def test_a_failure_of_the_moment_is_tried_again(house):
    [run] = [run for run in house.client.runs(DELAYS) if run["partition_key"] == HELD_UP]
    house.settle(DELAYS, [run["dag_run_id"]])
    assert house.task(DELAYS, run["dag_run_id"], "stage")["try_number"] == 2
    assert house.published()[-1] == ("2013-01-02 11:00:00", "2013-01-02 12:00:00")


def test_what_a_retry_can_not_mend_fails_at_once(house):
    before = house.published()
    execute("ALTER TABLE raw.departures ALTER delay TYPE DOUBLE", path=house.local.path)
    try:
        run = house.run(DELAYS, "failed", partition_key="2013-01-02T12:00:00")
    finally:
        execute("ALTER TABLE raw.departures ALTER delay TYPE BIGINT", path=house.local.path)
    stage = house.task(DELAYS, run["dag_run_id"], "stage")
    assert (stage["state"], stage["try_number"], stage["max_tries"]) == ("failed", 1, 3)
    assert "raw.departures.delay is float64, was int64" in house.client.log(
        DELAYS, run["dag_run_id"], "stage", 1
    )
    assert house.published() == before


def test_a_backfill_of_the_past_leaves_newer_online_values(house):
    before = _online(house)
    tables = _tables(house)
    first = datetime(2013, 1, 1, 3, tzinfo=UTC)
    start_backfill(house, first, first + 4 * HOUR, max_active_runs=3, reprocess="completed")
    runs = until(
        lambda: [
            r
            for r in house.client.runs(DELAYS, run_type="backfill")
            if r["partition_date"] < "2013-01-02"
        ]
    )
    assert len(runs) == 5
    house.settle(DELAYS, [run["dag_run_id"] for run in runs])
    assert _online(house) == before
    assert _tables(house) == tables


def test_a_new_release_is_read_and_old_runs_stay_with_theirs(house):
    [old, *_] = house.client.runs(DELAYS, run_type="manual")
    manifest = house.local.manifest
    view = msgspec.structs.replace(manifest.view("airport_delays"), tags={"tier": "2"})
    others = [v for v in manifest.views if v.name != view.name]
    new = deploy(
        msgspec.structs.replace(manifest, views=(view, *others)), house.local.root, house.local.path
    )
    until(lambda: _tags(house) >= {"tier:2"})
    run = house.run(DELAYS, partition_key="2013-01-02T13:00:00")
    assert run["bundle_version"] == new.release.digest != old["bundle_version"]
    house.client.clear(DELAYS, old["dag_run_id"], only_failed=True)
    assert house.client.run(DELAYS, old["dag_run_id"])["bundle_version"] == old["bundle_version"]


def test_where_time_stands_still_nothing_was_scheduled(house):
    assert house.client.runs(DELAYS, run_type="scheduled") == []
    assert house.client.runs("flights.local.airport_size") == []


def _next(key: str) -> str:
    return str(datetime.fromisoformat(key) + HOUR)


def _tables(house: House) -> list[Any]:
    view = house.local.manifest.view("airport_delays")
    tables = [
        f"features.airport_delays__{part}__{view.fingerprint}"
        for part in ("tiles", "history", "latest")
    ]
    return [
        sorted(
            map(
                repr,
                query(
                    f"SELECT * EXCLUDE (version) FROM {t}" if "tiles" not in t else f"FROM {t}",
                    house.local.path,
                ),
            )
        )
        for t in tables
    ]


def _online(house: House) -> list[tuple[int, tuple[Any, ...] | None]]:
    found = online(house.store, house.local, "airport_delays").values()
    return [(value.effective_us, value.values) for value in found if value is not None]


def _in_state(house: House, run_id: str, task_id: str, states: set[str]) -> dict[str, Any] | None:
    task = house.task(DELAYS, run_id, task_id)
    return task if task["state"] in states else None


def _tags(house: House) -> set[str]:
    return {
        tag["name"] for dag in house.client.dags() if dag["dag_id"] == DELAYS for tag in dag["tags"]
    }
