"""One deploy at a time for each environment; a lock never outlives its holder for long."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_engine, text

from controlplane.errors import PlaneError
from controlplane.state.locks import LEASE, Process
from controlplane.state.store import StateStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOLD = """
import sys
from datetime import UTC, datetime
from controlplane.state.store import StateStore
store = StateStore(sys.argv[1], "shop")
with store.lock("prod", holder="bob@laptop:42", purpose="deploy", now=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC)):
    print("held", flush=True)
    sys.stdin.readline()
store.close()
"""


def locked(
    store: StateStore, environment: str = "prod", *, now: datetime = NOW, holder: str = "ann@host:1"
) -> AbstractContextManager[None]:
    return store.lock(environment, holder=holder, purpose="deploy", now=lambda: now)


def assert_free(store: StateStore) -> None:
    with locked(store):
        pass


def alter(url: str, **values: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for column, value in values.items():
            changed = connection.execute(
                text(f"UPDATE plane_lock SET {column} = :value"), {"value": value}
            )
            assert changed.rowcount == 1
    engine.dispose()


@pytest.fixture
def other(url):
    """The same project's state, opened once more."""
    other = StateStore(url, "shop")
    yield other
    other.close()


@pytest.fixture
def holder(url, start):
    """Another process that holds the lock."""
    process = start(HOLD, url)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_deploy_is_kept_out_and_told_why(store, other):
    with locked(store, holder="bob@laptop:42"):
        with pytest.raises(PlaneError) as caught, locked(other, now=NOW + timedelta(minutes=1)):
            pytest.fail("both hold the lock")
        assert (
            "prod of project shop is locked by bob@laptop:42 since 2026-03-01T12:00:00Z (deploy)"
            in str(caught.value)
        )
        assert caught.value.hint == "wait until it ends; the lock expires at 2026-03-01T12:15:00Z"
    assert_free(other)


@pytest.mark.parametrize(
    "now", [NOW.astimezone(timezone(timedelta(hours=-5))), NOW.replace(tzinfo=None)]
)
def test_a_clock_may_run_in_any_zone(store, other, now):
    with locked(store, now=now):
        with pytest.raises(PlaneError, match="since 2026-03-01T12:00:00Z"), locked(other, now=now):
            pytest.fail("both hold the lock")
        with locked(other, now=now + LEASE):
            pass


def test_other_environments_and_projects_stay_free(url, store):
    petshop = StateStore(url, "petshop")
    with locked(store), locked(store, "test"), locked(petshop):
        pass
    petshop.close()


def test_another_process_is_kept_out_until_the_holder_is_done(store, holder):
    with pytest.raises(PlaneError, match="bob@laptop:42"), locked(store):
        pytest.fail("both hold the lock")
    _, err = holder.communicate("done\n", timeout=30)
    assert (holder.returncode, err) == (0, "")
    assert_free(store)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_is_given_back_however_the_block_ends(store, other, error):
    with pytest.raises(error), locked(store):
        raise error
    assert_free(other)


def test_an_interrupted_process_gives_it_back(url, store, holder):
    # So that the lock can't be taken over because its process is seen to be gone.
    alter(url, machine="elsewhere")
    holder.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in holder.communicate(timeout=30)[1]
    assert_free(store)


@pytest.mark.parametrize("reaped", [True, False])
def test_it_is_taken_over_from_a_killed_process(store, holder, reaped):
    holder.kill()
    if reaped:
        holder.wait(timeout=30)
    else:
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    assert_free(store)


def test_a_process_that_was_given_the_dead_holders_id_does_not_keep_it(url, store, other):
    with locked(store):
        with pytest.raises(PlaneError), locked(other):
            pytest.fail("both hold the lock")
        alter(url, started_at="2026-01-01 00:00:00.000000")
        assert_free(other)


def test_a_process_of_another_machine_keeps_it_alive_or_not(url, store, holder):
    alter(url, machine="elsewhere")
    holder.kill()
    holder.wait(timeout=30)
    with pytest.raises(PlaneError, match="bob@laptop:42"), locked(store):
        pytest.fail("nobody can know that the holder is dead")
    with locked(store, now=NOW + LEASE):
        pass


def test_it_lapses_after_the_lease_and_the_late_holder_does_not_free_its_successors(store, other):
    with locked(store, holder="late@host:1"):
        with pytest.raises(PlaneError), locked(other, now=NOW + LEASE - timedelta(seconds=1)):
            pytest.fail("the lease isn't over")
        successor = locked(other, now=NOW + LEASE, holder="next@host:2")
        successor.__enter__()
    with pytest.raises(PlaneError, match="next@host:2"), locked(store, now=NOW + LEASE):
        pytest.fail("the late holder freed a lock that wasn't his any more")
    successor.__exit__(None, None, None)
    assert_free(store)


def test_a_lock_that_cannot_be_given_back_does_not_hide_how_the_block_ended(
    sqlite_url, tmp_path, caplog
):
    store = StateStore(sqlite_url, "shop")
    file = tmp_path / "new" / "folder" / "state.db"

    def fail() -> None:
        file.write_bytes(b"no database, but long enough to look like one" * 9)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), locked(store):
        fail()
    assert "could not be released" in caplog.text
    store.close()


def test_this_process_is_alive_and_its_namesakes_are_not():
    process = Process.current()
    assert (process.pid, process.machine.split()[0]) == (os.getpid(), socket.gethostname())
    assert not process.is_gone()
    assert replace(process, started_at=process.started_at - timedelta(minutes=1)).is_gone()
    assert not replace(process, machine="elsewhere", pid=2**22 + 1).is_gone()
    assert replace(process, pid=2**22 + 1).is_gone()
