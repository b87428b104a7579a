"""Applies a plan: tables, release, users' views, record. Every step may be repeated, so that a
deploy that was stopped anywhere is healed by the next one.

Order: the control tables are brought up to date and the new tables are created; the release is
written beside the old one and `CURRENT` is replaced in one step; users' views of new feature views
appear; the deployment is recorded last, so that until then the plan is not empty.
"""

from __future__ import annotations

import errno
import getpass
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.base import naming
from controlplane.base.ports import Statement, Warehouse
from controlplane.control import identity, ledger, migrations, owners, repair
from controlplane.control.drift import MISSING, Drift
from controlplane.control.owners import Owner
from controlplane.errors import PermanentError, PlaneError, disk_remedy
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.plan.actions import DropView, UpdateView
from controlplane.plan.plan import Plan
from controlplane.release import program
from controlplane.release.release import Release, digest_of
from controlplane.sql.control_tables import DEPLOYED, PUBLIC_VIEWS, create_schema
from controlplane.sql.dialects import dialect
from controlplane.sql.statements import split
from controlplane.sql.tables import qualified
from controlplane.state import Deployment

if TYPE_CHECKING:
    from controlplane.state.store import StateStore

_SHOWN = 10
KEPT_RELEASES = 10
"""Releases that stay on disk, for runs that began with them and for a way back."""


def user_name() -> str:
    """Name the user of this process.

    `uid 12345` where the uid has no name, as in OpenShift's pods.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"


def holder() -> str:
    """Who deploys: `user@host:pid`."""
    return f"{user_name()}@{socket.gethostname()}:{os.getpid()}"


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
    at_once: Callable[[], None] | None = None,
    drifts: Sequence[Drift] = (),
    adopt: bool = False,
) -> Deployment:
    """Make the plan true, and return the deployment: the current one where it was only repaired.

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
        at_once: show every version of which something is computed, also while it lags behind, and
            then call this.
        drifts: what is missing or altered in the warehouse, and is made again.
        adopt: take the schema over from whoever deployed to it.

    Raises:
        PlaneError: somebody else deploys, or has deployed since the plan was made, or a folder
            can't be written, or the schema belongs to another environment.
    """
    with state.lock(manifest.environment, holder=holder(), purpose="deploy", now=clock):
        current = state.current(manifest.environment)
        if (current.id if current else None) != plan.base:
            hint = "run `plane plan` again and look at what changed"
            raise PlaneError(
                "the plan is stale: somebody has deployed since it was made", hint=hint
            )
        check_folder(root, manifest)
        on_step("control tables")
        migrations.upgrade(warehouse, now=clock())
        on_step("owner")
        _take_schema(manifest, release, warehouse, clock(), adopt=adopt)
        missing = {d.name for drift in drifts for d in drift.damages if d.problem == MISSING}
        for drift in drifts:
            if drift.view:
                on_step(f"repair of {drift.view}")
                with repair.of_another_kind():
                    warehouse.execute(
                        repair.prepare(manifest, drift, missing), tag=_tag(manifest, drift.view)
                    )
        for view in manifest.views:
            on_step(f"tables of {view.name}")
            warehouse.execute(
                split(release.files[f"sql/{view.name}.setup.sql"]), tag=_tag(manifest, view.name)
            )
        on_step("release")
        write_release(root, release)
        on_step("versions")
        warehouse.execute(_versions(plan, manifest), tag=_tag(manifest, ""), atomic=True)
        updated = {action.view for action in plan.actions if isinstance(action, UpdateView)}
        if current and manifests.from_json(current.manifest).reader_role != manifest.reader_role:
            updated = {view.name for view in manifest.views}
        reopened = {drift.view for drift in drifts if drift.reopened}
        for view in manifest.views:
            built = program.build(manifest, view)
            showing = ledger.shown(warehouse, built)
            due = built.timing.due(now)
            through = due.end if due else view.start
            if at_once:
                through = min(through, view.start + view.schedule)
            renewed = view.name in reopened or (
                showing == view.fingerprint and view.name in updated
            )
            if renewed or (
                showing != view.fingerprint and ledger.ready(warehouse, built, showing, through)
            ):
                on_step(f"users' view of {view.name}")
                statements = split(release.files[f"sql/{view.name}.doors.sql"])
                with repair.of_another_kind():
                    warehouse.execute(statements, tag=_tag(manifest, view.name), atomic=True)
        for action in plan.actions:
            if isinstance(action, DropView):
                on_step(f"users' view of {action.view} goes")
                _close_doors(manifest, action.view, warehouse)
        if at_once:
            at_once()
        if current and plan.repairs_alone:
            settle(warehouse, manifest, current)
            return current
        on_step("record")
        deployment = state.record(
            environment=manifest.environment,
            release=release.digest,
            manifest=manifests.to_json(manifest),
            digest=release.digest,
            deployed_by=holder().rpartition(":")[0],
            expected=plan.base,
            now=clock(),
        )
        # After the state, which is the record that counts: what is lost here, the next deploy
        # writes.
        settle(warehouse, manifest, deployment)
        return deployment


def settle(warehouse: Warehouse, manifest: Manifest, deployment: Deployment) -> None:
    """Record a deployment in the warehouse, unless it is recorded there.

    The first deploy after an update of controlplane makes the control tables that it lacks here.
    """
    identity.ensure(warehouse, made_by=deployment.deployed_by, now=deployment.deployed_at)
    names = (manifest.schema, manifest.project, manifest.environment)
    by, at = deployment.deployed_by, deployment.deployed_at
    owner, now = (
        owners.check(warehouse, *names),
        Owner(*names, deployment.id, deployment.release, by, at),
    )
    if owner != now:
        d = dialect(manifest.dialect)
        warehouse.execute([*owners.prepare(d), owners.record(d, now)], tag=_tag(manifest, ""))


def _take_schema(
    manifest: Manifest, release: Release, warehouse: Warehouse, now: datetime, *, adopt: bool
) -> None:
    """Become the owner of the schema, unless somebody else is.

    Raises:
        PermanentError: another environment or project owns it.
    """
    d = dialect(manifest.dialect)
    names = (manifest.schema, manifest.project, manifest.environment)
    by = holder().rpartition(":")[0]
    first = Owner(*names, 0, release.digest, by, now)
    if adopt:
        warehouse.execute([*owners.prepare(d), owners.record(d, first)], tag=_tag(manifest, ""))
    elif owners.check(warehouse, *names) is None:
        warehouse.execute([*owners.prepare(d), owners.claim(d, first)], tag=_tag(manifest, ""))
        # Another first deploy may have claimed it at the same moment.
        owners.check(warehouse, *names)
    identity.ensure(warehouse, made_by=by, now=now)


def earlier(state: StateStore, environment: str, number: int | None) -> Deployment:
    """The deployment of that number; the one before the current unless given.

    Raises:
        PlaneError: there is none, or it is the current one.
    """
    current = state.current(environment)
    before = state.history(environment, limit=_SHOWN, before=current.id) if current else []
    if current is None or not before:
        raise PlaneError(
            f"environment {environment!r} has no earlier deployment", hint="deploy twice first"
        )
    if number is None:
        return before[0]
    found = [
        one for one in state.history(environment, limit=1, before=number + 1) if one.id == number
    ]
    if found and number != current.id:
        return found[0]
    wrong = "is the current one" if found else "is none of this environment's"
    numbers = ", ".join(str(one.id) for one in before)
    raise PlaneError(
        f"deployment {number} {wrong}", hint=f"the last ones before the current are {numbers}"
    )


def check_folder(root: Path, manifest: Manifest) -> None:
    """Raise unless releases of this project and environment can be written here.

    Raises:
        PermanentError: the folder can't be made or written, or holds another environment's release.
    """
    try:
        text = (root / "releases" / (_shown(root) or "none") / "manifest.json").read_text(
            encoding="utf-8"
        )
        there = manifests.from_json(text)
    except (OSError, PlaneError):
        pass  # nothing is there yet, or nothing that can be read: then it is written anew
    else:
        if (there.project, there.environment) != (manifest.project, manifest.environment):
            raise PermanentError(
                f"{root} holds the release of environment {there.environment!r} of project"
                f" {there.project!r}",
                hint=(
                    "give each environment a folder of its own: `airflow = { releases = ... }` in"
                    " plane.toml"
                ),
            )
    try:
        (root / "releases").mkdir(parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(root, error) from None


def release_damage(root: Path, digest: str) -> str:
    """What is wrong with the release that Airflow should read; empty if nothing is."""
    try:
        shown = _shown(root)
        if shown != digest:
            return f"Airflow sees {shown or 'no release'}, deployed is {digest}"
        return (
            ""
            if _intact(root, digest)
            else f"files of the release {digest} in {root} are missing or changed"
        )
    except OSError as error:
        return f"the release in {root} can't be read: {error.strerror or error}"


def missing_files(root: Path, release: Release) -> str:
    """Say what is wrong with the deployed release, by names and sizes of its files alone.

    A plan can afford no more: reading 9,000 files takes it a tenth longer. `release_damage` reads
    them, for `plane doctor`, and so does a deploy.
    """
    folder = root / "releases" / release.digest
    try:
        shown = _shown(root)
        if shown != release.digest:
            return f"Airflow sees {shown or 'no release'}, deployed is {release.digest}"
        for path, text in release.files.items():
            size = len(text) if text.isascii() else len(text.encode())
            if (folder / path).stat().st_size != size:
                return f"file {path} of the release {release.digest} in {root} is changed"
    except FileNotFoundError as error:
        return f"{error.filename} of the release {release.digest} is missing"
    except OSError as error:
        return f"the release in {root} can't be read: {error.strerror or error}"
    return ""


def check_release(root: Path, manifest: Manifest, release: Release) -> None:
    """Mend what Airflow reads, if somebody has removed or changed it since it was deployed.

    Raises:
        PermanentError: the folder can't be written, or holds another environment's release.
    """
    if release_damage(root, release.digest):
        check_folder(root, manifest)
        write_release(root, release)


def write_release(root: Path, release: Release) -> None:
    """Write the release's files under `<root>/releases/<digest>` and point `<root>/CURRENT` to
    them.

    The folder appears whole or not at all; one that holds the same bytes is kept, a damaged one
    replaced.

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
        # A full disk needs the space back; what can't be removed now, the next deploy removes.
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            pointer.unlink(missing_ok=True)
        raise _unwritable(root, error) from None


def _shown(root: Path) -> str:
    """The digest of the release that Airflow reads; empty where there is none."""
    current = root / "CURRENT"
    return current.read_text(encoding="utf-8").strip() if current.is_file() else ""


def _intact(root: Path, digest: str) -> bool:
    """Whether the release is there, byte for byte."""
    folder = root / "releases" / digest
    # What Python leaves beside the DAGs is no part of the release.
    paths = [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    found = {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", errors="replace")
        for path in paths
    }
    return digest_of(found) == digest


def _write(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _flush(folder: Path) -> None:
    """Have the folder's own entries on disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _sweep(root: Path) -> None:
    """Remove drafts of deploys that were stopped, and all but the newest releases.

    The lock keeps others away.
    """
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


def _close_doors(manifest: Manifest, view: str, warehouse: Warehouse) -> None:
    d = dialect(manifest.dialect)
    doors = [
        qualified(d, manifest.schema, naming.public_view(view, part))
        for part in ("", *naming.PARTS)
    ]
    statements = [Statement(f"drop {door}", f"DROP VIEW IF EXISTS {door}") for door in doors]
    name = d.text(f"{manifest.schema}.{view}")
    forget = f"DELETE FROM {PUBLIC_VIEWS.quoted(d)} WHERE feature_view = {name}"
    statements.append(Statement("forget the view", forget))
    warehouse.execute(statements, tag=_tag(manifest, view), atomic=True)


def _versions(plan: Plan, manifest: Manifest) -> list[Statement]:
    """Note which version of each view is deployed, so that a run of an earlier release flips
    nothing back."""
    d = dialect(manifest.dialect)
    table = DEPLOYED.quoted(d)
    names = [view.name for view in manifest.views] + plan.dropped
    ours = ", ".join(d.text(f"{manifest.schema}.{name}") for name in names)
    rows = ", ".join(
        f"({d.text(f'{manifest.schema}.{v.name}')}, {d.text(v.fingerprint)})"
        for v in manifest.views
    )
    statements = [create_schema(d), DEPLOYED.create(d)]
    gone, noted = f"DELETE FROM {table} WHERE feature_view IN ({ours})", f"INSERT INTO {table}"
    if rows and not d.transactional:
        replaced = f"{noted} REPLACE WHERE feature_view IN ({ours}) VALUES {rows}"
        return [*statements, Statement("note the versions", replaced)]
    if names:
        statements.append(Statement("forget earlier versions", gone))
    if rows:
        statements.append(Statement("note the versions", f"{noted} VALUES {rows}"))
    return statements


def _tag(manifest: Manifest, view: str) -> str:
    owner = next((v.owner for v in manifest.views if v.name == view), "")
    return naming.query_tag(manifest.project, manifest.environment, view, owner, "deploy")
