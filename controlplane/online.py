"""The online values of an environment: what of each version is there, and whether it is what the warehouse says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from controlplane import naming
from controlplane.errors import PlaneError
from controlplane.ports import OnlineStore
from controlplane.project import Project
from controlplane.registry import manifest as manifests
from controlplane.registry.manifest import Manifest
from controlplane.render.program import Program, build
from controlplane.render.views import render_view
from controlplane.runtime.materialize import Progress
from controlplane.runtime.reconcile import Reconciled, reconcile

_DEPLOYMENTS = 20  # versions of earlier ones are not looked for


@dataclass(frozen=True)
class Verified:
    """What `verify` found of each version; `unhealed` keys are still not as they should be."""

    versions: Sequence[Reconciled]
    unhealed: int


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
            raise PlaneError(f"environment {name!r} has no online store", hint="give it `online` in plane.toml")
        return store

    def verify(
        self,
        views: Sequence[str] = (),
        *,
        heal: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Verified:
        """Compare every version that readers are served, and every one that was synced, with the warehouse.

        Where readers are served none of a view, perhaps since the store lost it, that is the deployed one.

        Args:
            views: names of feature views; all unless given.
            heal: write what is missing or wrong again, and put tombstones under keys that the warehouse doesn't have.
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

    def _versions(self, store: OnlineStore, views: Sequence[str]) -> list[tuple[Manifest, Program, bool]]:
        """Each version that is served, should be, or was synced, of the deployments that are remembered."""
        name = self._project.environment.name
        known = [manifests.from_json(d.manifest) for d in self._project.state.history(name, limit=_DEPLOYMENTS)]
        if not known:
            raise PlaneError(f"nothing is deployed to environment {name!r}", hint="run `plane deploy` first")
        for view in views:
            if not known[0].view(view).online:
                hint = "declare online=True and deploy"
                raise PlaneError(f"feature view {view!r} is not kept online", hint=hint)
        serving = store.get_fields(naming.serving_hash(known[0].namespace))
        found: dict[tuple[str, str], tuple[Manifest, Program, bool]] = {}
        for manifest in known:
            for spec in manifest.views:
                if not spec.online or (views and spec.name not in views) or (spec.name, spec.fingerprint) in found:
                    continue
                served = serving.get(spec.name.encode()) == spec.fingerprint.encode()
                first = manifest is known[0] and spec.name.encode() not in serving
                if served or first or _synced(store, manifest.namespace, spec.name, spec.fingerprint):
                    found[spec.name, spec.fingerprint] = (manifest, build(manifest, spec), served)
        return list(found.values())


def _synced(store: OnlineStore, namespace: str, view: str, fingerprint: str) -> bool:
    cursor: Mapping[bytes, bytes] = store.get_fields(naming.cursor_hash(namespace, view, fingerprint))
    return b"version" in cursor
