"""The release's files on disk.

Airflow reads the folder `<root>/releases/<digest>` whose digest is in `<root>/CURRENT`. A release
appears whole or not at all, and `CURRENT` is replaced atomically.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from controlplane.errors import PermanentError, PlaneError, disk_remedy
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.release.paths import program_path, sql_path
from controlplane.release.program import Program, from_json
from controlplane.release.release import Release, digest_of
from controlplane.sql.views import TASKS

KEPT_RELEASES = 10
"""The number of releases that stay on disk: for runs that began with them, and for rollbacks."""


def check_folder(root: Path, manifest: Manifest) -> None:
    """Check that releases of this project and environment can be written to a folder.

    Raises:
        PermanentError: the folder can't be created or written, or has another environment's
            release.
    """
    try:
        text = (root / "releases" / (_shown(root) or "none") / "manifest.json").read_text(
            encoding="utf-8"
        )
        existing = manifests.from_json(text)
    except (OSError, PlaneError):
        pass  # There is no release yet, or it is unreadable: the deploy replaces it.
    else:
        if (existing.project, existing.environment) != (manifest.project, manifest.environment):
            raise PermanentError(
                f"{root} holds the release of environment {existing.environment!r} of project"
                f" {existing.project!r}",
                hint=(
                    "give each environment a folder of its own: `airflow = { releases = ... }` in"
                    " plane.toml"
                ),
            )
    try:
        # Only writing proves the right to write: modes say little on network drives and as root.
        (root / "releases").mkdir(parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(root, error) from None


def release_damage(root: Path, digest: str) -> str:
    """Describe the damage of the release that Airflow should read; empty if it is intact."""
    try:
        shown = _shown(root)
        if shown != digest:
            return f"Airflow reads {shown or 'no release'}, but {digest} is deployed"
        return (
            ""
            if _intact(root, digest)
            else f"files of the release {digest} in {root} are missing or changed"
        )
    except OSError as error:
        return f"the release in {root} can't be read: {error.strerror or error}"


def missing_files(root: Path, release: Release) -> str:
    """Describe the damage of the deployed release, by names and sizes of its files alone.

    `release_damage`, for `plane doctor` and deploys, compares their bytes too.
    """
    # Reading the 9,000 files of 1,000 views would make a plan a tenth slower.
    folder = root / "releases" / release.digest
    try:
        shown = _shown(root)
        if shown != release.digest:
            return f"Airflow reads {shown or 'no release'}, but {release.digest} is deployed"
        for path, text in release.files.items():
            size = len(text) if text.isascii() else len(text.encode())
            if (folder / path).stat().st_size != size:
                return f"file {path} of the release {release.digest} in {root} is changed"
    except FileNotFoundError as error:
        return f"{error.filename} of the release {release.digest} is missing"
    except OSError as error:
        return f"the release in {root} can't be read: {error.strerror or error}"
    return ""


def read_view(root: Path, digest: str, view: str) -> tuple[Program, dict[str, str]]:
    """Read a view's program and the SQL of its tasks, by task, from the files that Airflow runs.

    Raises:
        PermanentError: a file is missing or can't be read.
    """
    release = root / "releases" / digest
    hint = "run `plane deploy`: it writes the files of the release again"
    try:
        program = from_json((release / program_path(view)).read_text(encoding="utf-8"))
        sql = {task: (release / sql_path(view, task)).read_text(encoding="utf-8") for task in TASKS}
    except FileNotFoundError as error:
        # A missing release has one error for all views, so that a run reports it once.
        lost = error.filename if release.is_dir() else release
        raise PermanentError(f"{lost} of the deployed release is missing", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        text = f"the release in {release} can't be read: {error}"
        raise PermanentError(text, hint=hint) from None
    return program, sql


def ensure_release(root: Path, manifest: Manifest, release: Release) -> None:
    """Write the release's files unless Airflow reads exactly these.

    Raises:
        PermanentError: the folder can't be written, or has another environment's release.
    """
    if release_damage(root, release.digest):
        check_folder(root, manifest)
        write_release(root, release)


def write_release(root: Path, release: Release) -> None:
    """Write the files under `<root>/releases/<digest>` and point `<root>/CURRENT` to them.

    The folder appears whole or not at all. An intact folder is kept, a damaged one is replaced.

    Raises:
        PermanentError: the folder can't be written.
    """
    target = root / "releases" / release.digest
    draft = target.with_name(f".{release.digest}.{os.getpid()}")
    pointer = root / f".CURRENT.{os.getpid()}"
    try:
        _sweep(root)
        if not _intact(root, release.digest):
            for path, text in release.files.items():
                file = draft / path
                file.parent.mkdir(parents=True, exist_ok=True)
                _write(file, text)
            if target.exists():
                shutil.rmtree(target)
            draft.replace(target)
            _flush(root / "releases")
        _write(pointer, release.digest + "\n")
        pointer.replace(root / "CURRENT")
        _flush(root)
    except OSError as error:
        # A full disk needs the space back. The next deploy removes what can't be removed now.
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            pointer.unlink(missing_ok=True)
        raise _unwritable(root, error) from None


def _shown(root: Path) -> str:
    """Return the digest of the release that Airflow reads; empty if there is none."""
    current = root / "CURRENT"
    return current.read_text(encoding="utf-8").strip() if current.is_file() else ""


def _intact(root: Path, digest: str) -> bool:
    """Whether the release is complete and unchanged, byte for byte."""
    folder = root / "releases" / digest
    # Airflow's Python writes byte code next to the DAGs: it is not part of the release.
    paths = [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    files = {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", errors="replace")
        for path in paths
    }
    return digest_of(files) == digest


def _write(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _flush(folder: Path) -> None:
    """Flush the folder's entries to disk, so that a rename survives a crash."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _sweep(root: Path) -> None:
    """Remove drafts of deploys that were stopped, and all but the newest releases."""
    # The deploy holds the environment's lock: no other process writes here.
    releases, shown = root / "releases", _shown(root)
    drafts = [path for path in releases.iterdir() if path.name.startswith(".")]
    whole = sorted(
        (p for p in releases.iterdir() if not p.name.startswith(".")),
        key=lambda p: -p.stat().st_mtime,
    )
    for path in drafts + [p for p in whole[KEPT_RELEASES:] if p.name != shown]:
        shutil.rmtree(path)
    for path in [*root.glob(".CURRENT.*"), *root.glob(".probe-*")]:
        path.unlink()


def _unwritable(root: Path, error: OSError) -> PermanentError:
    text = f"the release can't be written to {root}: {error.strerror or error}"
    hint = "make the folder writable, or set `airflow.releases` in plane.toml"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = disk_remedy(str(error))
    return PermanentError(text, hint=hint)
