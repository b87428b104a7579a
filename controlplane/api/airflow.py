"""Control the embedded Airflow of a project, which runs the DAGs of the release on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.base import naming
from controlplane.base.progress import Progress
from controlplane.base.types import Interval
from controlplane.embedded import airflow, airflow_health, airflow_settings
from controlplane.embedded.partitions import partition_keys, run_partitions
from controlplane.errors import PlaneError
from controlplane.manifest.timing import timing
from controlplane.release import dags
from controlplane.workspace.project import Project

_POOL_SLOTS = {"duckdb": 1}  # only one process at a time can open a DuckDB file
_PATIENCE_SECONDS = 30.0  # right after a start, a busy component reports its health late


class EmbeddedAirflow:
    """The embedded Airflow of one environment; `username` logs in to its UI and REST API."""

    username = airflow_settings.USERNAME

    def __init__(self, project: Project) -> None:
        self._project = project

    def up(
        self, *, port: int | None = None, on_step: Callable[[str], None] = lambda _: None
    ) -> airflow.AirflowServer:
        """Start Airflow unless it is healthy; return its URL and the file with its password.

        Raises:
            PlaneError: nothing is deployed, or Airflow does not start.
        """
        # It raises if nothing is deployed: Airflow would have no DAG to run.
        self._project.current()
        environment = self._project.environment
        connections = {
            dags.WAREHOUSE: airflow.connection(environment.warehouse_kind, environment.warehouse)
        }
        if (online := self._project.online_config()) is not None:
            connections[dags.ONLINE] = airflow.connection("plane_redis", online)
        return airflow.up(
            environment.airflow_home,
            bundle_root=environment.releases,
            connections=connections,
            pools={naming.POOL: _POOL_SLOTS.get(environment.warehouse_kind, 8)},
            port=port,
            on_progress=on_step,
        )

    def password(self) -> str:
        """Return the password of the user `plane`, for the UI and the REST API.

        Raises:
            PlaneError: this Airflow was never started.
        """
        return airflow.password(self._project.environment.airflow_home)

    def down(self) -> bool:
        """Stop Airflow; return whether it ran."""
        return airflow.down(self._project.environment.airflow_home)

    def run(
        self,
        views: Sequence[str],
        within: Interval,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> dict[str, dict[str, str]]:
        """Compute a range, one DAG run per interval; return view -> partition -> state.

        Raises:
            PlaneError: Airflow does not run on this machine, or a run did not end.
        """
        manifest = self._project.current()[1]
        chosen = [manifest.view(name) for name in views] or list(manifest.views)
        home = self._project.environment.airflow_home
        server = airflow.find(home, patience=_PATIENCE_SECONDS)
        if server is None:
            reason = "is not healthy" if airflow_health.ailing(home) else "does not run"
            raise PlaneError(
                f"Airflow {reason} on this machine", hint="run `plane airflow up` first"
            )
        return run_partitions(
            server.client(),
            {
                view.name: naming.dag_id(manifest.project, manifest.environment, view.name)
                for view in chosen
            },
            {
                view.name: partition_keys(timing(view), within, self._project.now())
                for view in chosen
            },
            lambda view, step, done, total: on_progress(Progress(view, step, done, total)),
        )
