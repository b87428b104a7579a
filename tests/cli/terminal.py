"""The installed `plane`, as a person starts it: in a terminal of 80 columns, or with its output in
a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PLANE = str(Path(sys.executable).parent / "plane")


def environment(**extra: str) -> dict[str, str]:
    """A user's shell."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PLANE_", "COLUMNS"))
    }
    return {**ours, "TERM": "xterm", "NO_COLOR": "1", **extra}


def piped(
    folder: Path, *arguments: str, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command whose output is read by a program."""
    command = [PLANE, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**(extra or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def shown(folder: Path, *arguments: str, columns: int = 80) -> tuple[int, str]:
    """Run a command in a terminal; its exit code and what the screen shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [PLANE, *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        text = b""
        while chunk := _read(ours):
            text += chunk
        os.close(ours)
        return process.wait(), _STYLE.sub("", text.decode().replace("\r\n", "\n"))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""  # a terminal's way to say that the other side is gone
