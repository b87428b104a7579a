"""`plane doctor`."""

from __future__ import annotations

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane doctor --env production"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Check all that the project stands on.

    Connections, versions, the release, the online store's policy; exits with 1 if something is
    wrong.
    """
    with control_plane(directory, environment) as plane:
        findings = plane.doctor()
    if json:
        present.as_json(findings)
    else:
        present.findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
