"""`plane.toml`: what is wrong in it is told all at once, each with its line and a remedy, and never
with a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.errors import PlaneError, Problems
from controlplane.workspace import settings
from controlplane.workspace.project import Project

CANARY = "c4n4ry-p4ssw0rd"
GOOD = """[project]
name = "shop"

[environments.local]
now = "2024-01-05T00:00:00Z"
warehouse = { kind = "duckdb", path = ".plane/warehouse.duckdb" }
online = { kind = "redis", url = "redis://127.0.0.1:6379" }
state = "sqlite:///.plane/state.db"

[environments.production]
state = "${SHOP_STATE}"

[environments.production.warehouse]
kind = "duckdb"
path = "${SHOP_PATH}/warehouse.duckdb"

[environments.production.online]
url = "redis://redis.example.com"
password = "${SHOP_PASSWORD}"
"""


def changed(folder: Path, *pairs: tuple[str, str]) -> Path:
    text = GOOD
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    (folder / "plane.toml").write_text(text)
    return folder


def complaint(folder: Path, environment: str | None = None) -> list[str]:
    """What is wrong: `line: message -> hint` for each."""
    with pytest.raises(PlaneError) as raised:
        settings.load(folder, environment)
    error = raised.value
    assert CANARY not in str(error)
    problems = error.problems if isinstance(error, Problems) else [error]
    assert all(
        problem.where and problem.where.file == "plane.toml" and problem.hint
        for problem in problems
    )
    return [
        f"{problem.where and problem.where.line}: {problem.message} -> {problem.hint}"
        for problem in problems
    ]


def test_what_is_right_is_taken(tmp_path):
    local = settings.load(changed(tmp_path), "local")
    assert local.warehouse == {"path": str(tmp_path / ".plane" / "warehouse.duckdb")}
    assert local.state == f"sqlite:///{tmp_path}/.plane/state.db"
    assert local.online == {"kind": "redis", "url": "redis://127.0.0.1:6379"}
    assert local.releases == tmp_path / ".plane" / "airflow" / "local" / "dags"


def test_variables_are_those_of_the_environment_that_is_used(tmp_path, monkeypatch):
    changed(tmp_path)
    monkeypatch.setenv("SHOP_STATE", f"postgresql://me:{CANARY}@db/plane")
    monkeypatch.setenv("SHOP_PATH", "/data")
    assert complaint(tmp_path, "production") == [
        "19: environments.production.online.password needs the environment variable SHOP_PASSWORD,"
        " which is not set -> export SHOP_PASSWORD=..."
    ]
    monkeypatch.setenv("SHOP_PASSWORD", CANARY)
    production = settings.load(tmp_path, "production")
    assert production.state == f"postgresql://me:{CANARY}@db/plane"
    assert production.warehouse["path"] == "/data/warehouse.duckdb"
    assert production.online == {"url": "redis://redis.example.com", "password": CANARY}


def test_the_environment_is_chosen(tmp_path, monkeypatch):
    changed(tmp_path)
    assert settings.load(tmp_path).name == "local"
    monkeypatch.setenv("PLANE_ENV", "nowhere")
    assert complaint(tmp_path) == [
        "0: there is no environment 'nowhere' -> choose from: local, production"
    ]
    assert settings.load(tmp_path, "local").name == "local"


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([("[project]", "[project")], ["1: this is not valid TOML"]),
        ([('"shop"', '"shop')], ["2: this is not valid TOML"]),
        (
            [('state = "sqlite', 'stat = "sqlite')],
            ["8: unknown key environments.local.stat -> the keys of environments.local are: "],
        ),
        (
            [('name = "shop"', 'title = "x"')],
            ["2: unknown key project.title", "1: project: object missing required"],
        ),
        (
            [("[project]", "[projects]")],
            ["1: unknown key 'projects'", "0: project: object missing required"],
        ),
        (
            [('"sqlite:///.plane/state.db"', "3")],
            ["8: environments.local.state: expected `str`, got `int`"],
        ),
        (
            [('state = "sqlite', 'airflow = { tasks = "views" }\nstate = "sqlite')],
            [
                "8: environments.local.airflow.tasks: 'views' is not one of its values -> choose"
                " from: steps, view"
            ],
        ),
        ([('kind = "duckdb", ', "")], ["6: environments.local.warehouse has no kind"]),
        (
            [("2024-01-05T00:00:00Z", "soon")],
            ["5: environments.local.now: 'soon' is not a time -> write 2013-01-01"],
        ),
        ([('"shop"', '"my shop"')], ["2: project name 'my shop' is not a name"]),
        (
            [('kind = "redis"', f'password = "{CANARY}"')],
            ["7: environments.local.online.password holds a secret"],
        ),
        ([('kind = "redis"', 'password = "${X}", deep = { api_key = 3 }')], ["7: ", "7: "]),
        (
            [("redis://", f"redis://:{CANARY}@")],
            ["7: environments.local.online.url holds a secret"],
        ),
        (
            [(":6379", f":6379?password={CANARY}")],
            ["7: environments.local.online.url holds a secret"],
        ),
        (
            [("sqlite:///.plane", f"postgresql://me:{CANARY}@db")],
            ["8: environments.local.state holds a secret"],
        ),
    ],
)
def test_each_problem_is_told_with_its_line(tmp_path, pairs, told):
    changed(tmp_path, *pairs)
    found = complaint(tmp_path, "local")
    assert len(found) == len(told), found
    assert all(any(line.startswith(start) for line in found) for start in told), found


@pytest.mark.parametrize("mark", ["/", "#", "?", "@", "[", "%"])
def test_c6_a_password_that_is_not_escaped_is_a_secret_too(tmp_path, mark):
    for before, after, line in (
        ("redis://", f"redis://:c4{mark}{CANARY}@", "7: environments.local.online.url"),
        ("sqlite:///.plane", f"postgresql://me:c4{mark}{CANARY}@db", "8: environments.local.state"),
    ):
        changed(tmp_path, (before, after))
        assert complaint(tmp_path, "local")[0].startswith(f"{line} holds a secret")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_b6_a_byte_order_mark_and_any_line_ends_are_read(tmp_path, mark, newline):
    (tmp_path / "plane.toml").write_text(mark + GOOD, encoding="utf-8", newline=newline)
    assert settings.load(tmp_path, "local").project == "shop"
    wrong = GOOD.replace('"shop"', '"my shop"')
    (tmp_path / "plane.toml").write_text(mark + wrong, encoding="utf-8", newline=newline)
    assert complaint(tmp_path, "local")[0].startswith("2: project name 'my shop' is not a name")


def test_b6_another_encoding_is_told(tmp_path):
    (tmp_path / "plane.toml").write_text(GOOD, encoding="utf-16")
    assert complaint(tmp_path, "local") == ["0: it is not UTF-8 text -> save it as UTF-8"]


@pytest.mark.parametrize("key", ["private_key_file", "token_file_path", "oauth_token_request_url"])
def test_where_a_secret_lies_is_none(tmp_path, key):
    changed(tmp_path, ('kind = "redis"', f'{key} = "somewhere"'))
    assert Path((settings.load(tmp_path, "local").online or {})[key]).name == "somewhere"


@pytest.mark.parametrize(
    "key", ["private_key", "private_key_passphrase", "token", "oauth_client_secret", "file_token"]
)
def test_a_secret_is_one_whatever_stands_before_it(tmp_path, key):
    changed(tmp_path, ('kind = "redis"', f'{key} = "{CANARY}"'))
    assert complaint(tmp_path, "local")[0].startswith(
        f"7: environments.local.online.{key} holds a secret"
    )


def test_all_problems_are_told_at_once(tmp_path):
    changed(
        tmp_path,
        ('"shop"', '"my shop"'),
        ("now =", "then ="),
        ('kind = "duckdb", ', ""),
        (":6379", ":${PORT}"),
    )
    assert [line.partition(":")[0] for line in complaint(tmp_path, "local")] == ["2", "5", "6", "7"]


def test_a_file_of_another_encoding(tmp_path):
    (tmp_path / "plane.toml").write_bytes(GOOD.encode("utf-16"))
    assert complaint(tmp_path) == ["0: it is not UTF-8 text -> save it as UTF-8"]


def test_a_folder_in_place_of_the_file(tmp_path):
    (tmp_path / "plane.toml").mkdir()
    assert complaint(tmp_path) == ["0: it can't be read: Is a directory -> let your user read it"]


def test_readers_where_nothing_is_granted(tmp_path):
    folder = changed(
        tmp_path, ('kind = "duckdb", path', 'kind = "duckdb", reader_role = "analysts", path')
    )
    with pytest.raises(PlaneError) as raised:
        settings.load(folder, "local")
    assert (
        raised.value.message == "environments.local.warehouse.reader_role: DuckDB grants no rights"
    )
    assert raised.value.where is not None
    assert raised.value.where.line > 1
    assert raised.value.hint


def test_no_project_here(tmp_path):
    with pytest.raises(PlaneError) as raised:
        settings.find_root(tmp_path)
    assert raised.value.hint == "run `plane init`, or go to a project's folder"


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([('kind = "duckdb", path', 'kind = "oracle", path')], "there is no connector 'oracle'"),
        ([("path = ", "file = ")], "connector 'duckdb': missing a required argument: 'path'"),
        (
            [('name = "shop"', 'name = "shop"\ndialect = "snowflake"')],
            "the project's SQL is snowflake",
        ),
    ],
)
def test_options_of_connectors(tmp_path, pairs, message):
    with (
        Project(changed(tmp_path, *pairs), "local") as project,
        pytest.raises(PlaneError) as raised,
    ):
        _ = project.warehouse
    assert raised.value.message.startswith(message)
    assert str(raised.value.where) == "plane.toml"
    assert raised.value.hint
