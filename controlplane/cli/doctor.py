"""`plane doctor`."""

from __future__ import annotations

import typer

from controlplane.api import doctor
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane doctor --env production"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Check the project's connections, versions, release and servers.

    Changes nothing. Exits with 1 if a check finds an error.
    """
    with opened(directory, environment) as project:
        findings = doctor.findings(project)
    if json:
        present.as_json(findings)
    else:
        present.findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
