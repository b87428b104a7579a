"""Compiles a project's definition files to its checked manifest."""

from __future__ import annotations

from controlplane.compile.loader import load
from controlplane.compile.project import Target, compile_manifest
from controlplane.errors import DefinitionError, PermanentError, PlaneError, Problems
from controlplane.manifest.specs import Manifest
from controlplane.sql.calculations import in_memory
from controlplane.workspace.connectors import open_calculator
from controlplane.workspace.project import Project


def compile_project(project: Project) -> Manifest:
    """Load and check every definition against the warehouse.

    Raises:
        Problems: the definitions are wrong; it lists all problems.
    """
    environment = project.environment
    target = Target(
        project=environment.project,
        environment=environment.name,
        dialect=environment.dialect,
        schema=environment.schema,
        now=environment.now,
        root=project.root,
        reader_role=environment.reader_role,
        tasks=environment.tasks,
    )
    definitions, problems = load(project.root, environment.definitions)
    manifest = compile_manifest(definitions, target, project.warehouse, problems)
    check_calculations(manifest)
    return manifest


def check_calculations(manifest: Manifest) -> None:
    """Check that readers can compute every calculation in their own process.

    Raises:
        Problems: a service has a calculation that they can't compute.
    """
    problems: list[PlaneError] = []
    for service in manifest.services:
        if service.calculations:
            try:
                _, query, statements = in_memory(manifest, service)
                open_calculator(query, statements).close()
            except PermanentError as error:
                text = f"feature service {service.name!r} can't be read online: {error.message}"
                hint = (
                    "use built-in functions of the warehouse: a read can't call functions that"
                    " users defined in it"
                )
                problems.append(DefinitionError(text, where=service.location, hint=hint))
    if problems:
        raise Problems(problems)
