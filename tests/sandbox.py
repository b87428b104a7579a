"""A process as a container may run it: a uid without a name, folders that can't be written, a full
disk.

All of it is done by Linux' namespaces in a child process, so it needs no root and leaves nothing.
Call these in a child that has one thread, such as one of `tests.children`.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NAMELESS = 54321
"""A uid that no passwd file has."""
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_BIND, _REMOUNT, _READ_ONLY = 4096, 32, 1
_CAPABILITIES_V3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


def become_nameless() -> None:
    """Have this process run as `NAMELESS`, which owns what its real user owns.

    No variable names it.
    """
    user, group = os.getuid(), os.getgid()
    _checked(_LIBC.unshare(_NEW_USER | _NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NAMELESS} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{NAMELESS} {group} 1")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        os.environ.pop(name, None)


def lose_privileges() -> None:
    """Have this process obey the permissions of files, as a user other than root does."""
    become_nameless()
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    _checked(_LIBC.capset(header, nothing))


def mount_read_only(folder: Path) -> None:
    """Have this process see the folder as one that is mounted read-only."""
    become_nameless()
    _mount(str(folder), folder, "", _BIND)
    _mount(str(folder), folder, "", _BIND | _REMOUNT | _READ_ONLY)


def mount_small_disk(folder: Path, spare: int) -> None:
    """Have this process see the folder, with what is in it, on a disk with `spare` bytes left."""
    become_nameless()
    held = {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    page = os.sysconf("SC_PAGESIZE")
    used = sum(-(-len(data) // page) * page for data in held.values())
    _mount("tmpfs", folder, "tmpfs", 0, f"size={used + spare}")
    for path, data in held.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    texts = (source, str(target), kind, options)
    source_, target_, kind_, options_ = (text.encode() for text in texts)
    here = Path.cwd()
    _checked(_LIBC.mount(source_, target_, kind_, ctypes.c_ulong(flags), options_))
    os.chdir(here)  # the working folder of a process stays the one below the mount


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
