"""What `plane doctor` looks at in an open project: each check is independent of the others."""

from __future__ import annotations

from controlplane import deploy as deploying
from controlplane import naming
from controlplane.definitions import RealtimeFeature
from controlplane.local import airflow
from controlplane.monitor import doctor, machine, warehouse
from controlplane.monitor.doctor import Finding
from controlplane.project import Project
from controlplane.registry import manifest as manifests
from controlplane.registry.loader import load


def findings(project: Project) -> list[Finding]:
    """Check everything that a project stands on."""

    def connected() -> list[Finding]:
        schema = project.environment.schema
        defined = load(project.root, project.environment.definitions)[0]
        tables = sorted({one.table for one in defined.sources if not one.table.startswith(f"{schema}.")})
        python = any(isinstance(one, RealtimeFeature) for service in defined.services for one in service.features)
        return warehouse.findings(project.warehouse, schema, tables, python=python)

    def compiled() -> list[Finding]:
        manifest = project.compile()
        return [Finding("definitions", doctor.OK, f"{len(manifest.views)} feature views")]

    def released() -> list[Finding]:
        current = project.deployed()
        if current is None:
            return doctor.release_findings(None, "")
        damage = deploying.release_damage(project.environment.releases, current.release)
        return doctor.release_findings(current.release, damage)

    def orchestrated() -> list[Finding]:
        server = airflow.find(project.environment.airflow_home)
        if server is None:
            return [Finding("airflow", doctor.OK, "the embedded one does not run")]
        client, current = server.client(), project.deployed()
        views = manifests.from_json(current.manifest).views if current else ()
        wanted = [naming.dag_id(project.environment.project, project.environment.name, view.name) for view in views]
        shown = [dag["dag_id"] for dag in client.dags()]
        pools = [pool["name"] for pool in client.pools()]
        return doctor.airflow_findings(server.url, client.import_errors(), shown, wanted, pools)

    return doctor.examine(
        [
            ("machine", lambda: machine.findings(project.folder, project.narrowed)),
            ("versions", lambda: [*doctor.versions(), *doctor.driver_findings(project.environment.warehouse_kind)]),
            ("warehouse", connected),
            ("definitions", compiled),
            ("release", released),
            ("online store", lambda: doctor.store_findings(project.store)),
            ("airflow", orchestrated),
        ]
    )
