"""Every rendered DAG as Airflow reads it: no import error, the right tasks, and light to parse."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset, PartitionedAssetTimetable
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction

from controlplane.airflow.mappers import FanOut, RollUp
from controlplane.airflow.timetable import IntervalTimetable
from controlplane.errors import Location
from controlplane.release.dags import render_dag
from controlplane.release.release import render_release
from tests.airflow.conftest import NOW, WAREHOUSE, compiled

PREFIX = "flights.local."


@pytest.fixture(scope="module")
def dags(deployed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bag = DagBag(
            dag_folder=str(deployed.folder), bundle_name="plane", bundle_path=deployed.folder
        )
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert sorted(bag.dags) == [
        PREFIX + name for name in ("airport_days", "airport_delays", "airport_size")
    ]
    return bag.dags


def upstream(dag, task_id):
    return sorted(dag.get_task(task_id).upstream_task_ids)


def outlets(dag):
    return {
        task.task_id: [asset.uri for asset in task.outlets] for task in dag.tasks if task.outlets
    }


def test_a_runs_order(dags):
    dag = dags[PREFIX + "airport_delays"]
    order = {task: upstream(dag, task) for task in dag.task_ids}
    assert order == {
        "stage": [],
        "check": ["stage"],
        "publish": ["check"],
        "unstage": ["publish", "stage"],
        "sync": ["publish"],
        "announce": ["sync"],
    }
    assert dag.get_task("stage").is_setup
    assert dag.get_task("unstage").is_teardown
    assert outlets(dag) == {
        "publish": ["plane://flights/local/airport_delays/offline"],
        "announce": ["plane://flights/local/airport_delays/online"],
    }


def test_a_view_that_is_not_online_does_not_sync(dags):
    dag = dags[PREFIX + "airport_days"]
    assert "sync" not in dag.task_ids
    assert upstream(dag, "announce") == ["publish"]
    assert outlets(dag) == {"publish": ["plane://flights/local/airport_days/offline"]}
    assert dag.get_task("announce").online_conn_id is None


def test_a_sync_in_shards(deployed, tmp_path):
    view = msgspec.structs.replace(deployed.manifest.view("airport_delays"), sync_shards=16)
    text = render_dag(deployed.manifest, view)
    check_format(text)
    assert "| Online | yes, written in 16 shards |" in text
    (tmp_path / "view.py").write_text(text)
    bag = DagBag(dag_folder=str(tmp_path / "view.py"), bundle_name="plane", bundle_path=tmp_path)
    assert (bag.import_errors, bag.captured_warnings) == ({}, {})
    [dag] = bag.dags.values()
    assert {task: upstream(dag, task) for task in dag.task_ids} == {
        "stage": [],
        "check": ["stage"],
        "publish": ["check"],
        "unstage": ["publish", "stage"],
        "begin_sync": ["publish"],
        "sync": ["begin_sync"],
        "announce": ["begin_sync", "sync"],
    }
    sync = dag.get_task("sync")
    assert isinstance(sync, MappedOperator)
    assert sync.expand_input.value == {"shard": list(range(16))}
    assert (sync.pool, sync.retries, sync.retry_policy is not None) == ("plane_warehouse", 3, True)
    assert outlets(dag) == {
        "publish": ["plane://flights/local/airport_delays/offline"],
        "announce": ["plane://flights/local/airport_delays/online"],
    }
    DagSerialization.deserialize_dag(json.loads(json.dumps(DagSerialization.serialize_dag(dag))))


def test_what_every_task_has(dags, deployed):
    for dag in dags.values():
        view = deployed.manifest.view(dag.dag_id.removeprefix(PREFIX))
        for task in dag.tasks:
            assert task.owner == view.owner
            assert task.pool == "plane_warehouse"
            assert task.retries == 3
            assert task.retry_delay == timedelta(seconds=30)
            assert task.retry_exponential_backoff == 2.0
            assert task.retry_policy is not None
            assert task.warehouse_conn_id == "plane_warehouse"
            name = "doors" if task.task_id == "announce" else task.task_id
            assert task.sql == deployed.release.files[f"sql/{view.name}.{name}.sql"]
            assert task.program == str(deployed.folder / f"{view.name}.json")


def test_what_every_dag_says_of_itself(dags, deployed):
    dag = dags[PREFIX + "airport_delays"]
    assert dag.tags == {"flights", "local", "critical", "tier:1"}
    assert dag.owner_links == {"ops@example.com": "mailto:ops@example.com"}
    view = deployed.manifest.view("airport_delays")
    for text in (
        'How late departures are.\n\nSays """so""" itself.',
        "| Owner | ops@example.com |",
        f"| Defined at | features.py:{view.location.line} |",
        f"| Version | {view.fingerprint} |",
        "| count_1d | int64 | count of rows over 1d |",
        "| delay_sum_2h | int64 | sum of `delay` over 2h, where `delay > 0`. What \\ it \\| costs |",
        "| last_tail | string | last `tail` |",
    ):
        assert text in dag.doc_md
    for dag in dags.values():
        assert not dag.catchup
        assert dag.is_paused_upon_creation is False
        assert dag.start_date == datetime(2013, 1, 1, tzinfo=UTC)


def test_the_embedded_instant_is_never_passed(dags):
    restriction = TimeRestriction(None, None, catchup=False)
    for name in ("airport_delays", "airport_size"):
        timetable = dags[PREFIX + name].timetable
        assert isinstance(timetable, IntervalTimetable)
        assert timetable.serialize()["until"] == "2013-01-03T00:00:00Z"
        assert timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction) is None
        # Airflow would not even run what a person triggers.
        assert dags[PREFIX + name].end_date is None


def test_the_wall_clock_is_followed_up_to_the_views_end(deployed):
    live = compiled(WAREHOUSE, now=None)
    assert 'IntervalTimetable("1h", delay="30m"),' in render_dag(live, live.view("airport_delays"))
    assert 'IntervalTimetable("1d", until="2013-01-03T00:00:00Z"),' in render_dag(
        live, live.view("airport_size")
    )
    early = msgspec.structs.replace(live, now=datetime(2013, 1, 1, tzinfo=UTC))
    assert 'until="2013-01-01T00:00:00Z"' in render_dag(early, early.view("airport_delays"))


def test_a_view_of_a_view_waits_for_its_partitions(dags, deployed):
    timetable = dags[PREFIX + "airport_days"].timetable
    assert isinstance(timetable, PartitionedAssetTimetable)
    [(asset, mapper)] = timetable.partition_mapper_config.items()
    assert isinstance(asset, Asset)
    assert asset.uri == "plane://flights/local/airport_delays/offline"
    assert isinstance(mapper, RollUp)
    assert mapper.serialize() == {
        "upstream": "1h",
        "schedule": "1d",
        "phase": "0s",
        "since": None,
        "until": None,
    }


@pytest.mark.parametrize(
    ("theirs", "ours", "mapper"),
    [
        ("1h", "1h", "IdentityMapper()"),
        ("1d", "1h", 'FanOut(upstream="1d", schedule="1h")'),
        ("1h", "6h", 'RollUp(upstream="1h", schedule="6h")'),
    ],
)
def test_any_two_schedules_fit(deployed, tmp_path, theirs, ours, mapper):
    manifest = deployed.manifest
    upstream_view, view = manifest.view("airport_delays"), manifest.view("airport_days")
    steps = {"1h": timedelta(hours=1), "6h": timedelta(hours=6), "1d": timedelta(days=1)}
    upstream_view = msgspec.structs.replace(upstream_view, schedule=steps[theirs])
    view = msgspec.structs.replace(view, schedule=steps[ours])
    changed = msgspec.structs.replace(manifest, views=(upstream_view, view))
    text = render_dag(changed, view)
    assert f"{mapper},\n" in text
    (tmp_path / "view.py").write_text(text)
    bag = DagBag(dag_folder=str(tmp_path / "view.py"), bundle_name="plane", bundle_path=tmp_path)
    assert bag.import_errors == {}
    timetable = bag.dags[PREFIX + "airport_days"].timetable
    assert isinstance(timetable, PartitionedAssetTimetable)
    [config] = timetable.partition_mapper_config.values()
    assert type(config).__name__ == mapper.partition("(")[0]
    assert mapper.startswith("Identity") or isinstance(config, RollUp | FanOut)


def test_upstream_partitions_outside_its_life_are_not_waited_for(deployed):
    manifest = deployed.manifest
    young = msgspec.structs.replace(
        manifest.view("airport_delays"),
        start=datetime(2013, 1, 1, 5, tzinfo=UTC),
        end=datetime(2013, 1, 2, tzinfo=UTC),
    )
    changed = msgspec.structs.replace(manifest, views=(young, manifest.view("airport_days")))
    text = render_dag(changed, changed.view("airport_days"))
    assert 'since="2013-01-01T05:00:00Z", until="2013-01-02T00:00:00Z"' in text


def test_airflow_can_store_every_dag(dags):
    for dag in dags.values():
        stored = DagSerialization.serialize_dag(dag)
        again = DagSerialization.deserialize_dag(json.loads(json.dumps(stored)))
        assert again.timetable.partitioned
        assert again.timetable.serialize()


def test_rendering_twice_gives_the_same_bytes(deployed):
    assert render_release(compiled(WAREHOUSE, now=NOW)) == deployed.release


def check_format(text):
    options = ["--isolated", "--line-length", "120", "--target-version", "py311"]
    options += ["--config", 'lint.isort.known-third-party=["controlplane"]']
    for command in (["format", "--diff", *options], ["check", *options]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "view.py", "-"]
        done = subprocess.run(ruff, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_text_is_formatted(deployed):
    for name, text in deployed.release.files.items():
        if name.endswith(".py"):
            check_format(text)


def test_no_text_of_a_definition_becomes_code(deployed):
    evil = 'x"""\nraise SystemExit("no")\n"""\\'
    manifest = deployed.manifest
    view = manifest.view("airport_delays")
    features = tuple(msgspec.structs.replace(f, description=evil) for f in view.features)
    location = Location("a.py\nraise SystemExit('no')", view.location.line)
    changes = {
        "description": evil,
        "owner": evil,
        "tags": {evil: evil},
        "features": features,
        "location": location,
    }
    tree = ast.parse(render_dag(manifest, msgspec.structs.replace(view, **changes)))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]


def test_a_parse_brings_no_drivers(deployed):
    program = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "print(*sorted(m for m in sys.modules if m.split('.')[0] in {'duckdb', 'pyarrow', 'redis', 'sqlglot', 'jinja2'}"
        " and m.split('.')[0] != 'jinja2' or m.startswith('controlplane')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(deployed.folder / "airport_delays.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "controlplane.airflow.operators" in loaded
    heavy = {name for name in loaded if name.split(".")[0] != "controlplane"}
    heavy |= loaded & {
        "controlplane.codec",
        "controlplane.workspace.connectors",
        "controlplane.workspace.project",
        "controlplane.materialize",
        "controlplane.sql",
    }
    assert heavy == set()
