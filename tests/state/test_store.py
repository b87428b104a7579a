"""Deployments are kept as they were given, for ever, and nobody deploys over what he has not
seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from controlplane.errors import PlaneError
from controlplane.state import absent, glance
from controlplane.state.store import StateStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RECORD = """
import sys
from datetime import UTC, datetime
from controlplane.errors import PlaneError
from controlplane.state.store import StateStore
store = StateStore(sys.argv[1], "shop")
print("ready", flush=True)
sys.stdin.readline()
try:
    store.record(environment="prod", release=sys.argv[2], manifest="{}", digest="d", deployed_by="ann",
                 expected=None, now=datetime.now(UTC))
    print("recorded")
except PlaneError as error:
    print("refused", error)
store.close()
"""


def test_nothing_was_deployed_yet(store):
    assert store.current("prod") is None
    assert store.history("prod") == []


def test_a_deployment_is_read_back_as_it_was_recorded(store, record):
    recorded = record(manifest='{"ü": "☃ \\u0000 \'quoted\' %s :x"}', digest="d" * 64)
    assert recorded.manifest == '{"ü": "☃ \\u0000 \'quoted\' %s :x"}'
    assert (recorded.environment, recorded.release, recorded.deployed_by) == ("prod", "r1", "ann")
    assert store.current("prod") == recorded
    assert store.history("prod") == [recorded]


def test_a_large_manifest_is_kept_whole(store, record):
    manifest = "x" * 5_000_000
    record(manifest=manifest)
    assert store.current("prod").manifest == manifest


def test_history_is_newest_first_and_limited(store, record):
    first = record()
    second = record(first.id, release="r2")
    third = record(second.id, release="r1", now=NOW - timedelta(days=1))
    assert first.id < second.id < third.id
    assert store.history("prod") == [third, second, first]
    assert store.history("prod", limit=2) == [third, second]
    assert store.history("prod", limit=1, before=third.id) == [second]
    assert store.history("prod", before=first.id) == []
    assert store.current("prod") == third


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
        datetime(2026, 3, 1, 7, 0, 0, 123456, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2026, 3, 1, 12, 0, 0, 123456),  # noqa: DTZ001 - a naive time is taken as UTC
    ],
)
def test_times_are_kept_in_utc_to_the_microsecond(store, record, now):
    recorded = record(now=now)
    read = store.current("prod")
    assert (
        recorded.deployed_at
        == read.deployed_at
        == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    )
    assert recorded.deployed_at.tzinfo is read.deployed_at.tzinfo is UTC


def test_environments_and_projects_do_not_see_each_other(url, store, record):
    prod, test = record(), record(environment="test")
    other = StateStore(url, "petshop")
    assert other.current("prod") is None
    theirs = other.record(
        environment="prod",
        release="p1",
        manifest="{}",
        digest="p",
        deployed_by="bob",
        expected=None,
        now=NOW,
    )
    assert other.history("prod") == [theirs]
    assert (store.current("prod"), store.current("test")) == (prod, test)
    other.close()


def test_a_deployment_that_missed_another_one_is_refused(store, record):
    first = record()
    second = record(first.id, release="r2", deployed_by="bob")
    for expected in (None, first.id, second.id + 1):
        with pytest.raises(
            PlaneError, match="bob deployed release r2 to prod at 2026-03-01T12:00:00Z"
        ) as caught:
            record(expected, release="r3")
        assert "`plane plan` again" in caught.value.hint
    assert store.history("prod") == [second, first]


def test_a_deployment_that_expects_a_predecessor_needs_one(store, record):
    with pytest.raises(PlaneError, match="prod has no deployment"):
        record(7)
    assert store.current("prod") is None


def test_of_deployments_made_at_once_one_is_recorded(url, store, start):
    store.current("prod")
    processes = [start(RECORD, url, f"r{number}") for number in range(4)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [err for _, err in answers] == [""] * 4
    assert sorted(out.split()[0] for out, _ in answers) == [
        "recorded",
        "refused",
        "refused",
        "refused",
    ]
    assert len(store.history("prod")) == 1


def test_a_closed_store_can_be_used_again(store, record):
    recorded = record()
    store.close()
    assert store.current("prod") == recorded


def test_a_glance_sees_what_the_store_sees(sqlite_url, postgres_url):
    assert absent(sqlite_url)
    assert not absent(postgres_url)
    store = StateStore(sqlite_url, "shop")
    for release in ("r1", "r2"):
        current = store.current("prod")
        assert glance(sqlite_url, "shop", "prod") == current
        store.record(
            environment="prod",
            release=release,
            manifest='{"ü": "☃"}',
            digest="d",
            deployed_by="ann",
            expected=current.id if current else None,
            now=NOW + timedelta(microseconds=7),
        )
    assert not absent(sqlite_url)
    assert glance(sqlite_url, "shop", "prod") == store.current("prod") is not None
    assert glance(sqlite_url, "shop", "test") is glance(sqlite_url, "pets", "prod") is None
    assert glance(postgres_url, "shop", "prod") is None


def test_a_glance_leaves_what_it_cannot_read_to_the_store(tmp_path):
    (tmp_path / "state.db").write_text("no database at all" * 100)
    assert glance(f"sqlite:///{tmp_path / 'state.db'}", "shop", "prod") is None
    assert not absent(f"sqlite:///{tmp_path / 'state.db'}")
    assert not absent("sqlite:///:memory:")
