"""Detect that someone else deployed to a project's schema, or wrote its online values."""

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
    """Return who else deployed to the schema of `manifest`, and the remedy; both "" if nobody did.

    The control tables must be readable: call `control.migrations.check` first.

    Args:
        project: the project that uses the schema.
        manifest: the manifest that is deployed, or is to be deployed.
        current: the current deployment according to this project's state.
        before: the manifest of `current`.
    """
    warehouse = project.warehouse
    owner = owners.read(warehouse, manifest.schema)
    names = (manifest.schema, manifest.project, manifest.environment)
    if text := owners.conflict(owner, *names):
        return text, owners.OTHER_SCHEMA
    versions: Mapping[str, str] = {}
    # Earlier versions of controlplane recorded no owner: compare the deployed versions instead.
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
    """Return which other warehouse wrote the online values; "" if none did."""
    claim = read_claim(store, manifest.namespace)
    return claims.conflict(claim, identity.read(project.warehouse), manifest.schema)


def _recorded(project: Project, owner: owners.Owner | None, current: Deployment | None) -> bool:
    """Return whether the state has the deployment that the warehouse recorded as the last."""
    if owner is None or current is None:
        return False
    if owner.deployment >= current.id:
        deployments = [current]
    else:
        # A deploy was stopped after it wrote the state and before it wrote the warehouse, or the
        # deployment is from another, older state database.
        name = project.environment.name
        deployments = project.state.history(name, limit=1, before=owner.deployment + 1)
    return (owner.deployment, owner.deployed_at) in [(d.id, d.deployed_at) for d in deployments]
