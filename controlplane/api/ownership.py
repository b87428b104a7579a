"""Who else deployed to a project's schema, or wrote its online values."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.base.ports import OnlineStore
from controlplane.control import identity, ledger, owners
from controlplane.manifest.specs import Manifest
from controlplane.online import claims
from controlplane.online.records import read_claim
from controlplane.state import Deployment
from controlplane.workspace.project import Project


def conflict(
    project: Project, manifest: Manifest, current: Deployment | None, before: Manifest | None
) -> tuple[str, str]:
    """Say who else deployed to the schema of `manifest`, and the remedy; both empty if nobody.

    The control tables must be readable, see `control.migrations.check`.

    Args:
        project: whose schema it is.
        manifest: what is to be deployed, or is.
        current: the current deployment as this project's state has it.
        before: its manifest.
    """
    warehouse = project.warehouse
    owner = owners.read(warehouse, manifest.schema)
    names = (manifest.schema, manifest.project, manifest.environment)
    if text := owners.conflict(owner, *names):
        return text, owners.OTHER_SCHEMA
    versions: Mapping[str, str] = {}
    if owner is None:
        prefix = f"{manifest.schema}."
        versions = {
            name.removeprefix(prefix): fingerprint
            for name, fingerprint in ledger.deployed_versions(warehouse) or ()
            if name.startswith(prefix)
        }
    known = {view.name: view.fingerprint for view in before.views} if before else {}
    text = owners.unknown_deployment(
        owner, _recorded(project, owner, current), versions.items(), known.items()
    )
    return text, owners.OTHER_STATE if text else ""


def values_conflict(project: Project, store: OnlineStore, manifest: Manifest) -> str:
    """Say whose the online values are, if they are another warehouse's."""
    claim = read_claim(store, manifest.namespace)
    return claims.conflict(claim, identity.read(project.warehouse), manifest.schema)


def _recorded(project: Project, owner: owners.Owner | None, current: Deployment | None) -> bool:
    """Whether the state has the deployment that the warehouse names."""
    if owner is None or current is None:
        return False
    if owner.deployment >= current.id:
        found = [current]
    else:
        # A deploy was stopped before it told the warehouse, or another state is older.
        name = project.environment.name
        found = project.state.history(name, limit=1, before=owner.deployment + 1)
    return (owner.deployment, owner.deployed_at) in [(d.id, d.deployed_at) for d in found]
