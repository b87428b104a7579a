"""`plane run` executes the files of the deployed release, as Airflow does."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from controlplane.release.release import digest_of
from tests.deploy.test_deploy import ABOVE, current
from tests.shop import Shop

APART = """
from controlplane import Attribute, batch_feature_view
from shop import OWNER, payments, user


@batch_feature_view(
    entities=[user], sources=[payments], schedule="1d", start="2024-01-01", owner=OWNER,
    features=[Attribute("amount", "int64")],
)
def apart(payments):
    return f"SELECT user_id, paid_at, amount FROM {payments}"
"""


def states(shop: Shop) -> dict[str, str]:
    """The state of each view."""
    return {status["view"]: status["state"] for status in shop.plane("status", "--json").json}


def release_of(shop: Shop) -> Path:
    """The folder of the deployed release."""
    return shop.folder / ".plane" / "airflow" / "local" / "dags" / "releases" / current(shop)


def deployed_by_an_earlier_version(shop: Shop, file: str, old: str, new: str) -> None:
    """Deploy, and give the release the bytes and the digest that another version might have."""
    shop.plane("deploy")
    release = release_of(shop)
    text = (release / file).read_text()
    assert old in text
    (release / file).write_text(text.replace(old, new))
    digest = digest_of(
        {
            str(path.relative_to(release)): path.read_text()
            for path in release.rglob("*")
            if path.is_file()
        }
    )
    shutil.move(release, release.with_name(digest))
    (release.parent.parent / "CURRENT").write_text(digest + "\n")
    with sqlite3.connect(shop.folder / ".plane" / "state.db") as connection:
        connection.execute("UPDATE plane_deployment SET release = ?", (digest,))
    connection.close()


def test_a_run_executes_the_deployed_sql_after_an_upgrade(shop):
    query = "SELECT user_id, paid_at, amount"
    deployed_by_an_earlier_version(
        shop, "sql/spend.stage.sql", query, "SELECT user_id, paid_at, 7 * amount AS amount"
    )
    shop.plane("run")
    assert shop.get(1)["amount_sum_2d"] == 7 * 30
    # The deploy writes what this version renders, and runs execute that from then on.
    shop.plane("deploy")
    shop.plane("run", "--recompute")
    assert shop.get(1)["amount_sum_2d"] == 30


def test_a_run_uses_the_deployed_program_after_an_upgrade(shop):
    deployed_by_an_earlier_version(shop, "spend.json", '"user_id": "int64"', '"user_id": "string"')
    error = shop.fails("run")
    assert "raw.payments.user_id is int64, was string" in error


@pytest.mark.parametrize("file", ["spend.json", "sql/spend.publish.sql"])
def test_a_missing_file_stops_the_views_that_need_it(shop, file):
    shop.define(ABOVE, file="above.py")
    shop.define(APART, file="apart.py")
    shop.plane("deploy")
    lost = release_of(shop) / file
    lost.unlink()
    error = shop.plane("run", code=1).err
    assert error.endswith(
        f"\nerror: {lost} of the deployed release is missing\n"
        "  -> run `plane deploy`: it writes the files of the release again\n"
    )
    assert states(shop) == {"spend": "not computed", "peaks": "not computed", "apart": "up to date"}
    assert shop.plane("deploy", "--json").json["deployment"] is None
    assert "nothing to do" not in shop.plane("run").out
    assert set(states(shop).values()) == {"up to date"}


def test_a_missing_release_is_reported_once(shop):
    shop.define(ABOVE, file="above.py")
    shop.plane("deploy")
    lost = release_of(shop)
    shutil.rmtree(lost)
    error = shop.fails("run")
    assert error.count("is missing") == 1
    assert f"{lost} of the deployed release is missing" in error


def test_an_unreadable_file_is_an_error(shop):
    shop.plane("deploy")
    damaged = release_of(shop) / "sql" / "spend.stage.sql"
    damaged.write_bytes(b"\xff")
    error = shop.fails("run")
    assert f"the release in {release_of(shop)} can't be read" in error
    assert "run `plane deploy`" in error
