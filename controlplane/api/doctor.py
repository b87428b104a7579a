"""The checks of `plane doctor` in an open project, each independent of the others."""

from __future__ import annotations

import time
from collections.abc import Callable

from controlplane.api import ownership
from controlplane.base import naming
from controlplane.compile.loader import load
from controlplane.control import drift, identity, ledger, migrations
from controlplane.definitions import RealtimeFeature
from controlplane.deploy import release_files
from controlplane.embedded import airflow, airflow_health
from controlplane.errors import FileInUse, PlaneError
from controlplane.manifest import stored as manifests
from controlplane.monitor.doctor import findings as doctor
from controlplane.monitor.doctor import machine, warehouse
from controlplane.monitor.doctor.findings import Finding
from controlplane.online import claims, served
from controlplane.online.records import read_claim
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project

# A task of the embedded Airflow has the DuckDB file open for a few seconds, as a rule.
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.1


def findings(project: Project) -> list[Finding]:
    """Run all checks of a project."""
    checks = _Checks(project)

    def next_to_airflow(subject: str, check: Callable[[], list[Finding]]) -> doctor.Check:
        return subject, lambda: _next_to_airflow(project, subject, check)

    return doctor.examine(
        [
            ("machine", lambda: machine.findings(project.folder, project.narrowed)),
            ("versions", checks.versions),
            next_to_airflow("warehouse", checks.connected),
            next_to_airflow("definitions", checks.compiled),
            ("release", checks.released),
            next_to_airflow("deployment", checks.deployed),
            ("online store", checks.stored),
            next_to_airflow("online values", checks.synced),
            ("airflow", checks.orchestrated),
        ]
    )


class _Checks:
    """The checks of one open project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def versions(self) -> list[Finding]:
        return [
            *doctor.versions(),
            *doctor.driver_findings(self._project.environment.warehouse_kind),
        ]

    def connected(self) -> list[Finding]:
        schema = self._project.environment.schema
        defined = load(self._project.root, self._project.environment.definitions)[0]
        tables = sorted(
            {
                source.table
                for source in defined.sources
                if not source.table.startswith(f"{schema}.")
            }
        )
        python = any(
            isinstance(feature, RealtimeFeature)
            for service in defined.services
            for feature in service.features
        )
        return warehouse.findings(self._project.warehouse, schema, tables, python=python)

    def compiled(self) -> list[Finding]:
        manifest = compile_project(self._project)
        return [Finding("definitions", doctor.OK, f"{len(manifest.views)} feature views")]

    def deployed(self) -> list[Finding]:
        try:
            current, warehouse = self._project.deployed(), self._project.warehouse
        except PlaneError:
            return []  # the checks of the warehouse and of the release report it
        if current is None:
            return []
        manifest = manifests.from_json(current.manifest)
        migrations.check(warehouse)
        text, remedy = ownership.conflict(self._project, manifest, current, manifest)
        if text:
            return [Finding("deployment", doctor.ERROR, text, remedy)]
        entries = ledger.entries(warehouse)
        drifts = drift.find(warehouse, manifest, manifest.views, entries, self._project.now())
        return doctor.drift_findings(drifts, len(manifest.views))

    def synced(self) -> list[Finding]:
        try:
            current, warehouse, store = (
                self._project.deployed(),
                self._project.warehouse,
                self._project.store,
            )
            if store is None or current is None:
                return []
            manifest = manifests.from_json(current.manifest)
            claim = read_claim(store, manifest.namespace)
        except PlaneError:
            return []  # the checks of the warehouse, the release and the store report it
        if text := claims.conflict(claim, identity.read(warehouse), manifest.schema):
            return [Finding("online store", doctor.ERROR, text, claims.REMEDY)]
        doors = ledger.shown_versions(warehouse)
        lost = served.lost_pointers(store, manifest, doors) | served.lost_cursors(store, manifest)
        hint = "run `plane run`: it writes missing values and the record of the served versions"
        return [
            Finding("online store", doctor.ERROR, f"Redis {problem}", hint)
            for problem in lost.values()
        ]

    def released(self) -> list[Finding]:
        current = self._project.deployed()
        if current is None:
            return doctor.release_findings(None, "")
        damage = release_files.release_damage(self._project.environment.releases, current.release)
        return doctor.release_findings(current.release, damage)

    def stored(self) -> list[Finding]:
        names = self._project.environment.project, self._project.environment.name
        return doctor.store_findings(self._project.store, f"{naming.namespace(*names)}:".encode())

    def orchestrated(self) -> list[Finding]:
        home = self._project.environment.airflow_home
        server = airflow.find(home, patience=_PATIENCE_SECONDS)
        if server is None:
            if trouble := airflow_health.ailing(home):
                return doctor.ailing_findings(trouble.ended, trouble.silent, home)
            return [Finding("airflow", doctor.OK, "the embedded Airflow does not run")]
        client, current = server.client(), self._project.deployed()
        views = manifests.from_json(current.manifest).views if current else ()
        names = self._project.environment.project, self._project.environment.name
        expected = [naming.dag_id(*names, view.name) for view in views]
        shown = [dag["dag_id"] for dag in client.dags()]
        pools = [pool["name"] for pool in client.pools()]
        return doctor.airflow_findings(server.url, client.import_errors(), shown, expected, pools)


def _next_to_airflow(
    project: Project, subject: str, check: Callable[[], list[Finding]]
) -> list[Finding]:
    """Run a check of the warehouse; wait up to 5 s while an embedded Airflow task has it open.

    Raises:
        PlaneError: raised by the check; `FileInUse` if a process that is not the embedded
            Airflow's has the DuckDB file open.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return check()
        except FileInUse as error:
            if error.pid is None or not airflow_health.runs_process(
                project.environment.airflow_home, error.pid
            ):
                raise
            if time.monotonic() > deadline:
                text = (
                    f"not checked: a task of the embedded Airflow (process {error.pid}) has the"
                    " warehouse open"
                )
                hint = (
                    "run `plane doctor` again when no task runs; only one process at a time can"
                    " open a DuckDB file"
                )
                return [Finding(subject, doctor.WARNING, text, hint)]
        time.sleep(_PAUSE_SECONDS)
