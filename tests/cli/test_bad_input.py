"""Whatever is wrong is told in words, with its place and its remedy, and the next command heals
what was left."""

from __future__ import annotations

import pytest

from tests.shop import PAYMENTS, TYPED, until

OTHER_COLUMN = 'Aggregate("sum", "amount", windows=["2d"])'
BROKEN = {
    "syntax.py": "x = = 1\n",
    "raises.py": "x = 1\nraise ValueError('boo')\n",
    "imports.py": "import no_such_package\n",
}


def problems(err: str) -> list[tuple[str, str]]:
    """The errors on standard error: what was said, and the remedy that must follow each."""
    lines = [
        line for line in err.splitlines() if not line.endswith((" intervals", " problems found"))
    ]
    assert len(lines) % 2 == 0, err
    found = list(zip(lines[::2], lines[1::2], strict=True))
    assert all(error.startswith("error: ") and hint.startswith("  -> ") for error, hint in found), (
        err
    )
    return [(error.removeprefix("error: "), hint.removeprefix("  -> ")) for error, hint in found]


SLOW = "(SELECT count(*) FROM range(1000000000000) AS numbers(number) WHERE number % 7 = 3)"
"""Takes hours, and no clock."""


def test_broken_definitions_are_told_all_at_once_and_nothing_is_written(shop):
    for name, text in BROKEN.items():
        shop.define(text, file=name)
    shop.redefine(
        (OTHER_COLUMN, 'Aggregate("sum", "nope", windows=["2d"])'),
        ('windows=["1d"]', 'windows=["36h"]'),
    )
    for command in ("plan", "deploy"):
        found = problems(shop.fails(command))
        assert [error for error, _ in found] == [
            (
                "features/imports.py:1: imports.py raised ModuleNotFoundError: No module named"
                " 'no_such_package'"
            ),
            "features/raises.py:2: raises.py raised ValueError: boo",
            (
                "features/shop.py:17: feature view 'spend', count(): window 36h is not a multiple"
                " of the tile 1d"
            ),
            (
                "features/shop.py:18: feature view 'spend', sum(nope): column 'nope' is not"
                " returned by the view's SQL"
            ),
            "features/syntax.py:1: syntax.py is not valid Python: invalid syntax",
        ]
    assert not (shop.folder / ".plane" / "airflow").exists()
    for name in BROKEN:
        (shop.folder / "features" / name).unlink()
    shop.redefine()
    shop.ready()


SERVICE = "shop = FeatureService"
ONLY_ROWS = [
    ('        Aggregate("count", windows=["1d"]),\n', ""),
    (f"        {OTHER_COLUMN},\n", ""),
    ("owner=OWNER,\n)\ndef", 'owner=OWNER, ttl="1h",\n)\ndef'),
]


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (
            [('windows=["2d"]', 'windows=["36h"]')],
            "spend', sum(amount): window 36h is not a multiple",
        ),
        (ONLY_ROWS, "ttl 1h is not a multiple of its schedule 1d"),
        ([("raw.payments", "raw.nope")], "there is no table raw.nope"),
        (
            [(SERVICE, f'user2 = Entity("user", keys={{"k": "string"}}, owner="me")\n{SERVICE}')],
            "'user' is defined twice",
        ),
        (
            [("raw.payments", "features.spend"), ("paid_at", "valid_from")],
            "read each other in a cycle: spend -> spend",
        ),
    ],
)
def test_rules_of_definitions(shop, pairs, told):
    shop.redefine(*pairs)
    [(error, hint)] = problems(shop.fails("plan"))
    assert error.startswith("features/shop.py:")
    assert told in error
    assert hint


def test_rows_without_a_key_are_dropped_and_counted(shop):
    shop.plane("deploy")
    shop.sql("INSERT INTO raw.payments VALUES (NULL, TIMESTAMP '2024-01-02', 1, 'DE')")
    [run] = shop.plane("run", "--json").json
    assert [(c["row_count"], c["dropped_count"]) for c in run["computed"]] == [(5, 1)]
    assert shop.plane("status", "--json").json[0]["last_dropped"] == 1


def test_a_run_of_nothing_but_rows_without_a_key_fails_and_publishes_nothing(shop):
    shop.ready()
    before = shop.sql("FROM features.spend ORDER BY ALL")
    shop.sql("UPDATE raw.payments SET user_id = NULL")
    [(error, hint)] = problems(shop.fails("run", "--recompute"))
    assert error == "feature view 'spend': all 4 rows of the interval lack a key or an event time"
    assert hint == "look at raw.payments: 4 rows have a null key, 0 no event time"
    assert shop.sql("FROM features.spend ORDER BY ALL") == before
    assert shop.sql("SELECT 1 FROM information_schema.tables WHERE table_name LIKE 'stage%'") == []
    shop.sql(PAYMENTS, TYPED)
    shop.plane("run", "--recompute")


def test_a_source_that_changed_since_the_deploy(shop):
    shop.ready()
    tables = "SELECT count(*) FROM _plane.ledger"
    before = shop.sql(tables)
    shop.sql(
        "ALTER TABLE raw.payments ALTER amount TYPE DOUBLE",
        "ALTER TABLE raw.payments RENAME country TO land",
    )
    [(error, hint)] = problems(shop.fails("run", "--recompute"))
    assert (
        error
        == "feature view 'spend': its sources have changed since the deploy: raw.payments.amount is"
        " float64, was int64; raw.payments.country is missing"
    )
    assert hint == "restore the columns, or adapt the definition and deploy it"
    assert shop.sql(tables) == before
    [(error, _)] = problems(shop.fails("plan"))
    assert "country" in error
    shop.sql("ALTER TABLE raw.payments RENAME land TO country")
    planned = shop.plane("plan").out
    assert "source payments column amount: int64 -> float64" in planned
    assert "a new version is computed" in planned
    shop.plane("deploy")
    shop.plane("run")
    assert shop.get(1)["amount_sum_2d"] == 30.0


def test_a_table_that_is_gone(shop):
    shop.ready()
    shop.sql("ALTER TABLE raw.payments RENAME TO elsewhere")
    assert "features/shop.py:8: source 'payments': there is no table raw.payments" in shop.fails(
        "plan"
    )
    assert "its sources have changed since the deploy: raw.payments is missing" in shop.fails(
        "run", "--recompute"
    )


def test_a_warehouse_that_another_process_has_open(shop):
    shop.ready()
    shop.redefine(("FROM {payments}", f"FROM {{payments}} WHERE {SLOW} > 0"))
    shop.plane("deploy")
    running = shop.start("run")
    until(lambda: "0 of 4" in running.err.read_text())
    for command in ("plan", "deploy", "status"):
        [(error, hint)] = problems(shop.fails(command))
        assert error.endswith(f"the file is open by process {running.process.pid}")
        assert hint == "close it there, or wait: DuckDB lets one process at a time open a file"
    [(error, hint)] = problems(shop.fails("run"))
    assert f":{running.process.pid} since" in error
    assert "wait until it ends" in hint
    done = running.interrupt()
    assert done.code == 1
    assert done.err.splitlines()[1].startswith("interrupted: ")
    assert len(done.err.splitlines()) == 2
    shop.redefine()
    shop.plane("deploy")
    assert "nothing to do" in shop.plane("run").out
    assert shop.sql("SELECT 1 FROM information_schema.tables WHERE table_name LIKE 'stage%'") == []


def test_redis_is_down(shop):
    shop.resettle((shop.online, "redis://127.0.0.1:1"))
    shop.plane("deploy")
    for command in (["run"], ["get", "shop", "-k", "user_id=1"]):
        [(error, hint)] = problems(shop.fails(*command))
        assert error.startswith("the online store at 127.0.0.1:1/0: ")
        assert hint == "check that the server runs and can be reached, then try again"
    assert shop.plane("status", "--json").json[0]["state"] == "up to date"
    shop.resettle(("redis://127.0.0.1:1", shop.online))
    [run] = shop.plane("run", "--json").json
    assert (run["computed"], run["synced"]["written"]) == ([], 3)


def test_verify_names_the_view_whose_source_has_changed(shop):
    shop.ready()
    shop.sql("ALTER TABLE raw.payments RENAME amount TO total")
    _, error, *_ = shop.fails("verify", "--cases", "5").splitlines()
    assert error.startswith("error: features/shop.py:11: feature view 'spend': reading: ")
    assert "amount" in error


@pytest.mark.parametrize("where", ["plane.toml", "environment"])
def test_b1_a_url_of_redis_with_unknown_options_is_refused_before_anything_is_connected(
    shop, where
):
    shop.plane("deploy")
    for end, told in (
        ("/shop", "the URL of the online store names a database that is not a number"),
        ("/0?decode_responses=True", "has the option 'decode_responses', which is not supported"),
    ):
        before = (shop.folder / "plane.toml").read_text()
        url = f"redis://127.0.0.1:1{end}"
        shop.extra["SHOP_REDIS"] = url
        shop.resettle((shop.online, url if where == "plane.toml" else "${SHOP_REDIS}"))
        for command in (
            ["run"],
            ["status"],
            ["get", "shop", "-k", "user_id=1"],
            ["online", "versions"],
        ):
            [(error, hint)] = problems(shop.fails(*command))
            assert error.startswith("plane.toml: ")
            assert told in error
            assert "redis://host:6379/0" in hint or "the settings of `online` are: url, " in hint
        shop.settings(before)


def test_options(shop):
    shop.ready()
    for arguments, told, remedy in (
        (["plan", "-e", "nowhere"], "there is no environment 'nowhere'", "choose from: local"),
        (["run", "nope"], "there is no feature view 'nope'", "choose from: spend"),
        (["run", "--start", "soon"], "--start: 'soon' is not a time", "write 2013-01-01"),
        (["run", "--end", "0001-01-01T00:00+14:00"], "is out of range", "write a time between"),
        (
            ["run", "--start", "2024-01-02", "--end", "2024-01-02"],
            "is not before --end",
            "the end is exclusive",
        ),
        (
            ["run", "--start", "9999-01-01"],
            "is not before the latest end, 9000-01-01",
            "the end is exclusive",
        ),
        (
            ["run", "--start", "2024-01-02T05:00", "--end", "2024-01-03T05:00"],
            (
                "no feature view has a whole interval within [2024-01-02T05:00:00Z,"
                " 2024-01-03T05:00:00Z) that is due"
            ),
            "due intervals: spend: every 1d in [2024-01-01T00:00:00Z, 2024-01-05T00:00:00Z)",
        ),
        (
            ["get", "nope", "-k", "user_id=1"],
            "there is no feature service 'nope'",
            "choose from: shop",
        ),
        (["get", "shop"], "key 'user_id' is absent", "the keys are: user_id"),
        (["get", "shop", "-k", "user_id"], "--key user_id: write name=value", "Example: "),
        (["get", "shop", "-k", "user_id=x"], "'x'", "give a whole number"),
        (
            ["get", "shop", "-k", "id=1", "-k", "user_id=1"],
            "key 'id' is unknown",
            "the keys are: user_id",
        ),
        (["airflow", "run"], "the range is missing", "plane airflow run --start"),
    ):
        [(error, hint)] = problems(shop.fails(*arguments))
        assert told in error, error
        assert hint.startswith(remedy), hint
    for arguments, told in (
        (
            ["--spine", "raw.nope", "--time", "paid_at"],
            "the warehouse refuses the spine: Table with name nope does not",
        ),
        (["--spine", "raw.payments", "--time", "at"], "the spine has no column 'at'"),
        (["--spine", "gone.sql", "--time", "at"], "--spine gone.sql can't be read"),
        (
            [
                "--spine",
                "SELECT 1::BIGINT AS user_id, TIMESTAMP '2025-01-01' AS at",
                "--time",
                "at",
            ],
            "is not computed",
        ),
    ):
        [(error, _)] = problems(
            shop.fails("dataset", "create", "one", "--service", "shop", *arguments)
        )
        assert told in error
    usage = shop.plane("frobnicate", code=2)
    assert "No such command" in usage.err


def test_nothing_is_deployed_yet(shop):
    for command in (["run"], ["status"], ["get", "shop", "-k", "user_id=1"], ["airflow", "up"]):
        assert problems(shop.fails(*command)) == [
            ("nothing is deployed to environment 'local'", "run `plane deploy` first")
        ]


def test_outside_a_project(shop, tmp_path):
    [(error, hint)] = problems(shop.fails("plan", cwd=tmp_path))
    assert error.startswith("there is no plane.toml in")
    assert hint == "run `plane init`, or go to a project's folder"


def test_a_state_that_cannot_be_reached(shop):
    shop.resettle(("sqlite:///.plane/state.db", "${SHOP_STATE}"))
    [(error, hint)] = problems(shop.fails("plan"))
    assert (
        error
        == "plane.toml:8: environments.local.state needs the environment variable SHOP_STATE, which"
        " is not set"
    )
    assert hint == "export SHOP_STATE=..."
    shop.extra["SHOP_STATE"] = "postgresql://me:c4n4ry@127.0.0.1:1/plane"
    for command in ("plan", "deploy", "run", "status"):
        err = shop.fails(command)
        [(error, _)] = problems(err)
        assert error.startswith(
            "Cannot connect to the state in the PostgreSQL database plane on 127.0.0.1:1"
        )
        assert "c4n4ry" not in err
    shop.extra["SHOP_STATE"] = "mysql://me:c4n4ry@db/plane"
    assert "c4n4ry" not in shop.fails("plan")


def test_a_folder_of_releases_that_cannot_be_written(shop):
    (shop.folder / ".plane" / "airflow").write_text("in the way")
    done = shop.plane("deploy", code=1)
    [(error, hint)] = problems(done.err)
    assert error.startswith("the release can't be written to ")
    assert hint == "make the folder writable, or set `airflow.releases` in plane.toml"
    doctor = shop.plane("doctor", "--json", code=0).json
    assert {finding["subject"]: finding["message"] for finding in doctor}[
        "release"
    ] == "nothing is deployed yet"
    (shop.folder / ".plane" / "airflow").unlink()
    shop.ready()


def test_a_folder_of_releases_of_another_environment(shop):
    shop.ready()
    text = (shop.folder / "plane.toml").read_text()
    shop.settings(
        text
        + text[text.index("[environments") :]
        .replace("environments.local", "environments.other")
        .replace(
            "now =", 'schema = "other"\nairflow = { releases = ".plane/airflow/local/dags" }\nnow ='
        )
    )
    [(error, hint)] = problems(shop.plane("deploy", "-e", "other", code=1).err)
    assert f"holds the release of environment 'local' of project '{shop.name}'" in error
    assert "give each environment a folder of its own" in hint
    shop.plane("doctor")


def test_what_is_dropped_is_asked_for(shop):
    shop.ready()
    shop.define('"""Nothing is left."""\n')
    for arguments in ((), ("--json",)):
        done = shop.plane("deploy", *arguments, code=1)
        assert problems(done.err) == [
            (
                "the plan was not approved: it drops spend; nothing was deployed",
                "deploy with --yes, or restore the definitions of what is dropped",
            )
        ]
    assert shop.plane("plan", "--detailed-exitcode", code=2)
    shop.plane("deploy", "--yes")
