"""What commands leave in `.plane` is its owner's alone, whatever the umask of the shell."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import valkey
from controlplane.embedded.daemon import write_state
from tests.children import CHILDREN
from tests.shop import Shop

SPINE = "SELECT 1::BIGINT AS user_id, TIMESTAMP '2024-01-04 12:00' AS t"
COMMANDS = (
    ("plan",),
    ("deploy", "--yes"),
    ("run",),
    ("status",),
    ("get", "shop", "-k", "user_id=1"),
    ("dataset", "create", "train", "--service", "shop", "--time", "t", "--spine", SPINE),
    ("verify", "--cases", "3"),
    ("online", "verify"),
    ("schema", "shop"),
    ("forget", "--key", "user_id=2", "--yes"),
    ("doctor",),
    ("rollback", "--yes"),
)


def no_mask() -> None:
    """As of a shell that hides nothing."""
    os.umask(0)


def usual_mask() -> None:
    """As of most shells."""
    os.umask(0o022)


def wide(folder: Path) -> dict[str, str]:
    """What other users have rights on, and which."""
    paths = [folder, *folder.rglob("*")]
    modes = {
        str(path.relative_to(folder)): path.lstat().st_mode
        for path in paths
        if not path.is_symlink()
    }
    return {name: oct(stat.S_IMODE(mode)) for name, mode in modes.items() if mode & 0o077}


@pytest.fixture
def embedded(make) -> Iterator[Shop]:
    """A project with an online store of its own, in which nothing is deployed."""
    shop = make()
    shop.resettle((f'url = "{shop.online}"', "embedded = true"))
    yield shop
    valkey.stop(shop.folder / ".plane" / "online")


@pytest.mark.parametrize("mask", [no_mask, usual_mask])
def test_c4_every_file_of_every_command_is_its_owners_alone(embedded, mask):
    """Case C4: the warehouse, the state, releases, the online store's files and its password."""
    folder = embedded.folder / ".plane"
    for number, command in enumerate(COMMANDS):
        if command[0] == "rollback":
            embedded.redefine(('windows=["1d"]', 'windows=["1d", "3d"]'))
            embedded.plane("deploy", "--yes", hook=mask)
        embedded.plane(*command, hook=mask)
        assert wide(folder) == {}, (number, command)
    names = {path.name for path in folder.rglob("*")}
    assert {
        "warehouse.duckdb",
        "state.db",
        "CURRENT",
        "spend.py",
        "server.log",
        "password",
        "lock",
    } <= names
    assert (folder / "warehouse.duckdb").stat().st_mode & 0o777 == 0o600


def test_c3_the_password_of_airflow_is_shown_to_its_owner(shop):
    """Case C3: `plane airflow up` makes it, and says which command shows it."""
    assert "run `plane airflow up`" in shop.fails("airflow", "password")
    home = shop.folder / ".plane" / "airflow" / "local"
    home.mkdir(parents=True)
    write_state(home / "passwords.json", {"plane": "made-by-up"})
    assert shop.plane("airflow", "password").out == "made-by-up\n"
    shown = shop.plane("airflow", "password", "--json").json
    assert shown == {"username": "plane", "password": "made-by-up"}


def test_c4_a_new_project_is_closed_from_the_start(tmp_path, shop):
    """Case C4: `plane init` loads rows into the warehouse; the files that a team shares stay as the
    mask says."""
    shop.plane("init", str(tmp_path / "fresh"), "--name", "fresh", hook=no_mask)
    assert wide(tmp_path / "fresh" / ".plane") == {}
    assert (tmp_path / "fresh" / ".plane" / "warehouse.duckdb").exists()
    assert (tmp_path / "fresh" / "plane.toml").stat().st_mode & 0o777 == 0o666


def test_c4_a_wider_folder_is_closed_by_the_next_command_and_the_doctor_tells(shop):
    """Case C4: as an earlier version of the package left it."""
    shop.plane("deploy", "--yes")
    folder = shop.folder / ".plane"
    (folder / "airflow" / "local" / "logs").mkdir()
    (folder / "airflow" / "local" / "logs" / "task.log").write_text("rows")
    widen(folder)
    shop.plane("status")
    assert wide(folder) == {}
    widen(folder)
    told = {f["subject"]: f for f in shop.plane("doctor", "--json").json}[".plane"]
    assert told["level"] == "warning"
    assert "other users of this machine" in told["message"]
    assert wide(folder) == {}
    assert {f["subject"]: f for f in shop.plane("doctor", "--json").json}[".plane"]["level"] == "ok"


def test_c4_what_a_killed_process_left_is_closed(shop):
    """Case C4: the warehouse's log of changes is made by its engine, as the mask of the process
    allows."""
    shop.plane("deploy", "--yes")
    folder = shop.folder / ".plane"
    child = CHILDREN.Process(target=write_and_die, args=(str(folder / "warehouse.duckdb"),))
    child.start()
    child.join()
    assert list(wide(folder)) == ["warehouse.duckdb.wal"]
    shop.plane("plan")
    assert wide(folder) == {}


def test_releases_elsewhere_stay_as_the_mask_says(make, tmp_path):
    """The Airflow of another user reads them there."""
    shop = make(state="sqlite:///.plane/state.db")
    shop.resettle(
        (
            "[environments.local]",
            f'[environments.local]\nairflow = {{ releases = "{tmp_path}/dags" }}',
        )
    )
    shop.plane("deploy", "--yes", hook=usual_mask)
    assert (tmp_path / "dags" / "CURRENT").stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "dags").rglob("*.py")} == {0o644}


def widen(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def write_and_die(path: str) -> None:
    """Change the warehouse, and end without closing it."""
    # lazy: a child of its own
    import duckdb

    os.umask(0)
    connection = duckdb.connect(path)
    connection.execute("CREATE TABLE left_behind AS SELECT 1 AS x")
    os._exit(1)
