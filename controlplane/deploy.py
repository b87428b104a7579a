"""Applies a plan: tables, release, users' views, record. Every step may be repeated, so that a deploy that was
stopped anywhere is healed by the next one.

Order: the new tables are created; the release is written beside the old one and `CURRENT` is replaced in one step;
users' views of new feature views appear; the deployment is recorded last, so that until then the plan is not empty.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from controlplane import ledger, naming
from controlplane.errors import PermanentError, PlaneError
from controlplane.plan.actions import DropView, UpdateView
from controlplane.plan.plan import Plan
from controlplane.ports import Statement, Warehouse
from controlplane.registry import manifest as manifests
from controlplane.registry.manifest import Manifest
from controlplane.render import program
from controlplane.render.dialects import dialect
from controlplane.render.release import Release
from controlplane.render.statements import split
from controlplane.render.views import qualified
from controlplane.state import Deployment, StateStore

KEPT_RELEASES = 10
"""Releases that stay on disk, for runs that began with them and for a way back."""


def holder() -> str:
    """Who deploys: `user@host:pid`."""
    return f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"


def deploy(
    plan: Plan,
    manifest: Manifest,
    release: Release,
    *,
    warehouse: Warehouse,
    state: StateStore,
    root: Path,
    now: datetime,
    clock: Callable[[], datetime],
    on_step: Callable[[str], None] = lambda _: None,
) -> Deployment:
    """Make the plan true.

    Args:
        plan: what was shown.
        manifest: what it leads to.
        release: its rendered files.
        warehouse: where the tables are made.
        state: where the deployment is recorded.
        root: the folder that Airflow reads releases from.
        now: the environment's now.
        clock: the wall clock.
        on_step: told each step before it begins.

    Raises:
        PlaneError: somebody else deploys, or has deployed since the plan was made, or a folder can't be written.
    """
    with state.lock(manifest.environment, holder=holder(), purpose="deploy", now=clock):
        current = state.current(manifest.environment)
        if (current.id if current else None) != plan.base:
            hint = "run `plane plan` again and look at what changed"
            raise PlaneError("the plan is stale: somebody has deployed since it was made", hint=hint)
        check_writable(root)
        for view in manifest.views:
            on_step(f"tables of {view.name}")
            warehouse.execute(split(release.files[f"sql/{view.name}.setup.sql"]), tag=_tag(manifest, view.name))
        on_step("release")
        write_release(root, release)
        updated = {action.view for action in plan.actions if isinstance(action, UpdateView)}
        for view in manifest.views:
            built = program.build(manifest, view)
            showing = ledger.shown(warehouse, built)
            due = built.timing.due(now)
            through = due.end if due else view.start
            renewed = showing == view.fingerprint and view.name in updated
            if renewed or (showing != view.fingerprint and ledger.ready(warehouse, built, showing, through)):
                on_step(f"users' view of {view.name}")
                statements = split(release.files[f"sql/{view.name}.doors.sql"])
                warehouse.execute(statements, tag=_tag(manifest, view.name), atomic=True)
        for action in plan.actions:
            if isinstance(action, DropView):
                on_step(f"users' view of {action.view} goes")
                _close_doors(manifest, action.view, warehouse)
        on_step("record")
        return state.record(
            environment=manifest.environment,
            release=release.digest,
            manifest=manifests.to_json(manifest),
            digest=release.digest,
            deployed_by=holder().rpartition(":")[0],
            expected=plan.base,
            now=clock(),
        )


def check_writable(root: Path) -> None:
    """Raise unless releases can be written.

    Raises:
        PermanentError: the folder can't be made or written.
    """
    try:
        (root / "releases").mkdir(parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(root, error) from None


def check_release(root: Path, release: Release) -> None:
    """Mend what Airflow reads, if somebody has removed it since it was deployed."""
    current = root / "CURRENT"
    shown = current.read_text(encoding="utf-8").strip() if current.is_file() else ""
    if shown != release.digest or not (root / "releases" / release.digest).is_dir():
        check_writable(root)
        write_release(root, release)


def write_release(root: Path, release: Release) -> None:
    """Write the release's files under `<root>/releases/<digest>` and point `<root>/CURRENT` to them.

    The folder appears whole or not at all; a folder of the same digest holds the same bytes and is kept.

    Raises:
        PermanentError: the folder can't be written.
    """
    target = root / "releases" / release.digest
    try:
        _sweep(root)
        if not target.exists():
            draft = target.with_name(f".{release.digest}.{os.getpid()}")
            for path, text in release.files.items():
                file = draft / path
                file.parent.mkdir(parents=True, exist_ok=True)
                _write(file, text)
            draft.replace(target)
        pointer = root / f".CURRENT.{os.getpid()}"
        _write(pointer, release.digest + "\n")
        pointer.replace(root / "CURRENT")
        folder = os.open(root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritable(root, error) from None


def _write(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _sweep(root: Path) -> None:
    """Remove drafts of deploys that were stopped, and all but the newest releases. The lock keeps others away."""
    current = root / "CURRENT"
    shown = current.read_text(encoding="utf-8").strip() if current.exists() else ""
    releases = root / "releases"
    drafts = [path for path in releases.iterdir() if path.name.startswith(".")]
    whole = sorted((p for p in releases.iterdir() if not p.name.startswith(".")), key=lambda p: -p.stat().st_mtime)
    for path in drafts + [p for p in whole[KEPT_RELEASES:] if p.name != shown]:
        shutil.rmtree(path)
    for pointer in root.glob(".CURRENT.*"):
        pointer.unlink()


def _unwritable(root: Path, error: OSError) -> PermanentError:
    text = f"the release can't be written to {root}: {error.strerror or error}"
    return PermanentError(text, hint="make the folder writable, or set `airflow.releases` in plane.toml")


def _close_doors(manifest: Manifest, view: str, warehouse: Warehouse) -> None:
    d = dialect(manifest.dialect)
    doors = [qualified(d, manifest.schema, naming.door(view, part)) for part in ("", "history", "latest", "tiles")]
    statements = [Statement(f"drop {door}", f"DROP VIEW IF EXISTS {door}") for door in doors]
    table = qualified(d, naming.CONTROL_SCHEMA, "doors")
    name = d.text(f"{manifest.schema}.{view}")
    statements.append(Statement("forget the view", f"DELETE FROM {table} WHERE feature_view = {name}"))
    warehouse.execute(statements, tag=_tag(manifest, view), atomic=True)


def _tag(manifest: Manifest, view: str) -> str:
    owner = next((v.owner for v in manifest.views if v.name == view), "")
    return naming.query_tag(manifest.project, manifest.environment, view, owner, "deploy")
