"""The online values of an environment: what of each version is there, and whether it is what the
warehouse says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import OnlineStore
from controlplane.base.progress import Progress
from controlplane.control import identity, ledger
from controlplane.deploy import executor as deploy
from controlplane.errors import PermanentError, PlaneError
from controlplane.manifest.specs import Manifest
from controlplane.online import claims
from controlplane.online.reconcile import Reconciled, reconcile
from controlplane.online.records import Claim, SyncCursor, point, read_claim, read_pointers
from controlplane.online.removal import remove_version
from controlplane.online.takeover import TakenOver, take_over
from controlplane.release.program import Program, build
from controlplane.sql.views import render_view
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Verified:
    """What `verify` found of each version; `unhealed` keys are still not as they should be."""

    versions: Sequence[Reconciled]
    unhealed: int


@dataclass(frozen=True)
class Taken:
    """What `take_over` wrote of each version, and whose values there were before (None: nobody's).

    `unhealed` keys are still not as they should be: they were written meanwhile.
    """

    before: Claim | None
    versions: Sequence[TakenOver]
    unhealed: int


@dataclass(frozen=True)
class Version:
    """One version of a view of which the store holds values.

    Args:
        view: the feature view.
        fingerprint: its version.
        deployment: the number of the last deployment that has it.
        current: whether that is the current deployment.
        served: whether readers are given this version.
        synced_at: when a sync last brought it in step.
    """

    view: str
    fingerprint: str
    deployment: int
    current: bool
    served: bool
    synced_at: datetime | None


@dataclass(frozen=True)
class Cleaned:
    """A version that was removed, and how many keys it had; None where it would be removed."""

    version: Version
    keys: int | None


class Online:
    """The online values of one environment of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def store(self) -> OnlineStore:
        """The open store.

        Raises:
            PlaneError: the environment has none.
        """
        store = self._project.store
        if store is None:
            name = self._project.environment.name
            raise PlaneError(
                f"environment {name!r} has no online store", hint="give it `online` in plane.toml"
            )
        return store

    def verify(
        self,
        views: Sequence[str] = (),
        *,
        heal: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Verified:
        """Compare every version that readers are served, and every one that was synced, with the
        warehouse.

        Where readers are served none of a view, perhaps since the store lost it, that is the
        deployed one.

        Args:
            views: names of feature views; all unless given.
            heal: write what is missing or wrong again, and put tombstones under keys that the
                warehouse doesn't have.
            on_progress: told how far it is, in rows.

        Raises:
            PlaneError: nothing is deployed, or a view is unknown or not kept online.
        """
        store = self.store()
        found = []
        for manifest, program, served in self._versions(store, views):
            view = manifest.view(program.view)
            name = f"{program.view} {program.fingerprint}"

            def report(done: int, total: int, name: str = name) -> None:
                on_progress(Progress(name, "compare", done, total))

            found.append(
                reconcile(
                    program,
                    self._project.warehouse,
                    store,
                    render_view(manifest, view).sync,
                    served=served,
                    clock=self._project.clock,
                    heal=heal,
                    on_rows=report,
                )
            )
        return Verified(found, sum(one.unhealed for one in found))

    def versions(self) -> list[Version]:
        """Every version that the store holds values of, by view, the newest first.

        Raises:
            PlaneError: nothing is deployed, or the environment has no online store.
        """
        store, (deployment, current) = self.store(), self._project.current()
        pointers = read_pointers(store, current.namespace).versions
        found = []
        for number, manifest, view in self._project.versions():
            cursor = SyncCursor(store, manifest.namespace, view.name, view.fingerprint).read()
            if cursor.version is not None:
                found.append(
                    Version(
                        view.name,
                        view.fingerprint,
                        deployment=number,
                        current=number == deployment.id,
                        served=pointers.get(view.name) == view.fingerprint,
                        synced_at=cursor.synced_at,
                    )
                )
        return sorted(found, key=lambda one: (one.view, -one.deployment))

    def serve(self, manifest: Manifest) -> None:
        """Give readers the versions of `manifest` that users' views show, all at once, as far as
        they were synced."""
        store, warehouse = self._project.store, self._project.warehouse
        if store is None:
            return
        if self._conflict(store, manifest):
            return  # its readers are another warehouse's; the plan warned of it
        programs = [build(manifest, view) for view in manifest.views if view.online]
        shown = ledger.doors(warehouse) if programs else {}
        flipped = {
            program.view: program.fingerprint
            for program in programs
            if shown.get(program.feature_view) == program.fingerprint
            and SyncCursor(store, program.namespace, program.view, program.fingerprint)
            .read()
            .reached
            > 0
        }
        point(store, manifest.namespace, flipped)

    def take_over(self, *, on_progress: Callable[[Progress], None] = lambda _: None) -> Taken:
        """Make all online values those of this warehouse; see `online.takeover`.

        Args:
            on_progress: told how far it is, in versions.

        Raises:
            PlaneError: nothing is deployed, or a run or an erasure is under way.
        """
        project, store = self._project, self.store()
        manifest = project.current()[1]
        known = [(of, view) for _, of, view in project.versions()]
        with project.state.lock(
            f"{project.environment.name}/run",
            holder=deploy.holder(),
            purpose="take-over",
            now=project.clock,
        ):
            before, versions = take_over(
                known,
                manifest,
                project.warehouse,
                store,
                clock=project.clock,
                on_progress=on_progress,
            )
        return Taken(before, versions, sum(version.unhealed for version in versions))

    def clean(
        self,
        *,
        keep: int = 1,
        dry_run: bool = False,
        keys_per_second: float | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> list[Cleaned]:
        """Remove the values of versions that are neither deployed nor served.

        Args:
            keep: so many of a view's newest other versions stay, for a rollback.
            dry_run: only say which ones would go.
            keys_per_second: at most.
            on_progress: told how far it is, in versions.

        Raises:
            PlaneError: somebody deploys meanwhile, or the store can't be reached; run it again. Or
                the values are another warehouse's.
        """
        store, manifest = self.store(), self._project.current()[1]
        namespace = manifest.namespace
        if text := self._conflict(store, manifest):
            raise PermanentError(f"{text}; nothing was removed", hint=claims.REMEDY)
        with self._project.state.lock(
            self._project.environment.name,
            holder=deploy.holder(),
            purpose="clean",
            now=self._project.clock,
        ):
            kept: dict[str, int] = {}
            gone = []
            for version in self.versions():
                if not (version.current or version.served):
                    kept[version.view] = kept.get(version.view, 0) + 1
                    if kept[version.view] > keep:
                        gone.append(version)
            if dry_run:
                return [Cleaned(version, None) for version in gone]
            found = []
            for done, version in enumerate(gone):
                on_progress(
                    Progress(f"{version.view} {version.fingerprint}", "remove", done, len(gone))
                )
                keys = remove_version(
                    store, namespace, version.view, version.fingerprint, keys_per_second
                )
                found.append(Cleaned(version, keys))
            return found

    def _conflict(self, store: OnlineStore, manifest: Manifest) -> str:
        """Whose the values are, if they are another warehouse's."""
        found = read_claim(store, manifest.namespace)
        return claims.conflict(found, identity.read(self._project.warehouse), manifest.schema)

    def _versions(
        self, store: OnlineStore, views: Sequence[str]
    ) -> list[tuple[Manifest, Program, bool]]:
        """Each version that is served, should be, or was synced."""
        deployment, current = self._project.current()
        for view in views:
            if not current.view(view).online:
                hint = "declare online=True and deploy"
                raise PlaneError(f"feature view {view!r} is not kept online", hint=hint)
        pointers = read_pointers(store, current.namespace).versions
        found = []
        for number, manifest, spec in self._project.versions():
            if not spec.online or (views and spec.name not in views):
                continue
            served = pointers.get(spec.name) == spec.fingerprint
            first = number == deployment.id and spec.name not in pointers
            cursor = SyncCursor(store, manifest.namespace, spec.name, spec.fingerprint)
            if served or first or cursor.read().reached > 0:
                found.append((manifest, build(manifest, spec), served))
        return found
