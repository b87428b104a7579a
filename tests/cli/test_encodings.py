"""Terminals and pipes whose encoding lacks some characters, and files with a byte order mark."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest

from tests.cli.terminal import PLANE, environment
from tests.shop import DEFINITIONS

LAND = "日本é😀"
SERVICE = "é日本"


@pytest.fixture
def abroad(shop):
    """A project with names of other alphabets in its values and its comments."""
    shop.sql(f"UPDATE raw.payments SET country = '{LAND}'")
    shop.redefine(("What a user spends.", f"What a user spends in {LAND}."))
    return shop.ready()


def said(shop, encoding: str, *arguments: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [PLANE, *arguments],
        cwd=shop.folder,
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


ESCAPED = {
    "cp1252": b"\\u65e5\\u672c\xe9\\U0001f600",
    "ascii": b"\\u65e5\\u672c\\xe9\\U0001f600",
    "cp932": b"\x93\xfa\x96{\\xe9\\U0001f600",
}


def test_b5_what_a_terminal_cannot_show_is_escaped(abroad):
    read = ("get", "shop", "-k", "user_id=1")
    for encoding, escaped in ESCAPED.items():
        code, out, err = said(abroad, encoding, *read)
        assert (code, err) == (0, b"")
        assert escaped in out
        code, out, err = said(abroad, encoding, *read, "--json")
        assert code == 0
        assert json.loads(out.decode(encoding))["spend__country"]["value"] == LAND
    for encoding, escaped in (("cp1252", b"\xe9\\u65e5\\u672c"), ("ascii", b"\\xe9\\u65e5\\u672c")):
        code, out, err = said(abroad, encoding, "get", SERVICE, "-k", "user_id=1")
        assert (code, out) == (1, b"")
        assert b"there is no feature service '" + escaped + b"'" in err
        code, _, err = said(abroad, encoding, "get", "shop", f"--{SERVICE}")
        assert code == 2
        assert b"No such option" in err


def test_b5_bytes_that_are_no_text_are_escaped(abroad):
    done = subprocess.run(
        [os.fsencode(PLANE), b"get", b"\xff\xe9", b"-k", b"user_id=1"],
        cwd=abroad.folder,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert b"there is no feature service '\\udcff\\udce9'" in done.stderr


def test_b5_progress_is_shown_in_a_terminal_of_any_encoding(abroad):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    settings = environment(PYTHONIOENCODING="cp1252")
    command = [PLANE, "run", "--recompute"]
    with subprocess.Popen(
        command, cwd=abroad.folder, env=settings, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        text = b""
        try:
            while chunk := os.read(ours, 65536):
                text += chunk
        except OSError:
            pass  # a terminal's way to say that the other side is gone
        os.close(ours)
        assert process.wait() == 0
    assert b"spend" in text
    assert b"\\u" not in text


def test_b6_a_spine_of_a_file_with_a_byte_order_mark(abroad):
    create = (
        "dataset",
        "create",
        "one",
        "--service",
        "shop",
        "--time",
        "at",
        "--spine",
        "spine.sql",
    )
    spine = "SELECT 1::BIGINT AS user_id,\r\n  TIMESTAMP '2024-01-04' AS at\r\n"
    (abroad.folder / "spine.sql").write_text(spine, encoding="utf-8-sig", newline="")
    assert abroad.plane(*create, "--json").json["row_count"] == 1
    (abroad.folder / "spine.sql").write_text(spine, encoding="utf-16")
    assert "--spine spine.sql can't be read: it is not UTF-8 text" in abroad.fails(*create)


def test_b6_definitions_with_a_byte_order_mark_and_line_ends_of_windows(abroad):
    file = abroad.folder / "features" / "shop.py"
    file.write_text(
        DEFINITIONS.replace("user spends", f"user spends in {LAND}"),
        encoding="utf-8-sig",
        newline="\r\n",
    )
    assert "No changes" in abroad.plane("plan").out
    text = DEFINITIONS.replace('windows=["2d"]', 'windows=["36h"]')
    file.write_text(text, encoding="utf-8-sig", newline="\r\n")
    assert (
        "error: features/shop.py:18: feature view 'spend', sum(amount): window 36h"
        in abroad.fails("plan")
    )
