"""Stop the embedded servers of a project."""

from __future__ import annotations

from controlplane.embedded import airflow, valkey
from controlplane.workspace.project import Project


def stop_servers(project: Project) -> list[str]:
    """See `ControlPlane.stop_servers`."""
    # Airflow first: its tasks write to Redis.
    ran = {
        "Airflow": airflow.down(project.environment.airflow_home),
        "Redis": valkey.stop(project.folder / "online"),
    }
    return [name for name, running in ran.items() if running]
