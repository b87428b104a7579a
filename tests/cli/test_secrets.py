"""A password that comes from an environment variable is shown to nobody and written nowhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tests.shop import Shop

CANARY = "c4n4ry-p4ssw0rd"
FEW = (("deploy",), ("run",), ("status",), ("doctor",))
COMMANDS = (
    ("plan",),
    ("deploy",),
    ("run",),
    ("run", "--resync", "--json"),
    ("status",),
    ("status", "--json"),
    ("get", "shop", "-k", "user_id=1"),
    ("doctor",),
    ("doctor", "--json"),
    ("plan", "--json"),
)


def traces(folder: Path) -> list[str]:
    """Files that hold the password."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


def said(shop: Shop, commands: Sequence[tuple[str, ...]] = FEW) -> str:
    """Everything that the commands say, whether they fail or not."""
    text = ""
    for command in commands:
        done = shop.start(*command).wait()
        assert done.code in (0, 1), done
        text += done.out + done.err
    return text


def test_a_password_that_works(shop, tmp_path):
    shop.extra = {"STORE_PASSWORD": CANARY}
    shop.resettle(
        (
            f'"{shop.online}"',
            f'"{shop.online}", password = "${{STORE_PASSWORD}}", username = "canary"',
        )
    )
    with shop.client() as client:
        client.acl_setuser(
            "canary", enabled=True, passwords=[f"+{CANARY}"], keys=["*"], commands=["+@all"]
        )
        try:
            text = said(shop, COMMANDS)
            values = b"".join(value or b"" for value in shop.stored().values())
        finally:
            client.acl_deluser("canary")
    assert "up to date" in text
    assert CANARY not in text
    assert CANARY.encode() not in values
    assert traces(tmp_path) == []
    with sqlite3.connect(shop.folder / ".plane" / "state.db") as connection:
        assert CANARY not in "".join(connection.iterdump())


def test_a_password_that_is_refused_or_never_asked_for(shop, tmp_path):
    shop.plane("deploy")
    shop.extra = {"STORE_PASSWORD": CANARY}
    for url in (
        shop.online.replace("://", "://nobody:${STORE_PASSWORD}@"),
        "redis://:${STORE_PASSWORD}@127.0.0.1:1",
        "nonsense://:${STORE_PASSWORD}@x",
    ):
        before = (shop.folder / "plane.toml").read_text()
        shop.settings(before.replace(f'url = "{shop.online}"', f'url = "{url}"'))
        text = said(shop)
        assert "online store" in text
        assert CANARY not in text
        shop.settings(before)
    shop.extra = {"STATE": f"postgresql://me:{CANARY}@127.0.0.1:1/plane?sslpassword={CANARY}"}
    shop.resettle(("sqlite:///.plane/state.db", "${STATE}"))
    text = said(shop)
    assert "Cannot connect to the state" in text
    assert CANARY not in text
    for state in (f"mysql://me:{CANARY}@db/x", f"postgresql://me:{CANARY}@@/x", CANARY):
        shop.extra = {"STATE": state}
        assert CANARY not in said(shop)
    assert traces(tmp_path) == []
