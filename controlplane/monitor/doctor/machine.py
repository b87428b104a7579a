"""Checks this machine for the doctor: the user, the locale, and who can read `.plane`."""

from __future__ import annotations

import codecs
import contextlib
import locale
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from controlplane.base import private
from controlplane.monitor.doctor.findings import ERROR, OK, WARNING, Finding

_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # in the order of Python's getpass


def findings(folder: Path, narrowed: int) -> list[Finding]:
    """Check the user, the locale, and the folder `.plane`.

    Args:
        folder: `.plane` of the project.
        narrowed: the number of files and folders in it that this command closed to other users.
    """
    encoding = locale.getpreferredencoding(do_setlocale=False)
    return [
        *user_findings(os.getuid(), os.environ),
        *locale_findings(encoding),
        *folder_findings(folder, narrowed),
    ]


def user_findings(uid: int, variables: Mapping[str, str]) -> list[Finding]:
    """Report whether the user has a name.

    OpenShift, for one, starts containers under a uid without a name.

    Args:
        uid: the user's id.
        variables: the environment's variables, where Airflow looks for a name first.
    """
    named = next((variables[name] for name in _NAMES if variables.get(name)), "")
    with contextlib.suppress(KeyError):
        return [Finding("user", OK, named or pwd.getpwuid(uid).pw_name)]
    text = f"uid {uid} has no name on this machine: Airflow does not start under it"
    return [
        Finding("user", WARNING, text, "export USER=plane, or give the uid a line in /etc/passwd")
    ]


def locale_findings(encoding: str) -> list[Finding]:
    """Report whether the terminal can show every key and every name.

    Args:
        encoding: the encoding of texts in this process.
    """
    if codecs.lookup(encoding).name == "utf-8":
        return [Finding("locale", OK, "UTF-8")]
    text = (
        f"the encoding of this shell is {encoding}: characters that it lacks are shown as escapes"
    )
    return [Finding("locale", WARNING, text, "export LC_ALL=C.UTF-8, or PYTHONUTF8=1")]


def folder_findings(folder: Path, narrowed: int) -> list[Finding]:
    """Report whether this user, and no other, can write `.plane`."""
    try:
        mode = folder.stat().st_mode & 0o777
    except OSError as error:
        text = f"{folder} can't be created or opened by uid {os.geteuid()}: {error.strerror}"
        hint = f"make {folder.parent} writable for your user, or name other folders in plane.toml"
        return [Finding(private.FOLDER, ERROR, text, hint)]
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        text = f"{folder} can't be written by uid {os.geteuid()}"
        hint = (
            "make it writable, or name other folders for the warehouse, the state and releases in"
            " plane.toml"
        )
        return [Finding(private.FOLDER, ERROR, text, hint)]
    if private.is_open(folder):
        text = (
            f"other users of this machine have rights on {folder} ({mode:04o}), and your user can't"
            " take them away"
        )
        return [Finding(private.FOLDER, ERROR, text, f"let its owner run: chmod -R go= {folder}")]
    if narrowed:
        text = (
            f"other users of this machine had rights on {folder}: {narrowed} files and folders were"
            " closed to them"
        )
        hint = "these rights are removed; change the passwords that files in it contain"
        return [Finding(private.FOLDER, WARNING, text, hint)]
    return [Finding(private.FOLDER, OK, "closed to other users")]
