"""Run the definition files and collect their definitions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.compile.imports import SourceLoader, importable
from controlplane.compile.shapes import Shapes
from controlplane.compile.usercode import running
from controlplane.definitions import BatchFeatureView, BatchSource, Entity, FeatureService
from controlplane.errors import DefinitionError, Location, PlaneError


@dataclass
class Definitions:
    """All definitions of a project, each object once, in the order of files and lines.

    `well_shaped` is set after the types of all arguments were checked.
    """

    entities: list[Entity] = field(default_factory=list)
    sources: list[BatchSource] = field(default_factory=list)
    views: list[BatchFeatureView] = field(default_factory=list)
    services: list[FeatureService] = field(default_factory=list)
    well_shaped: bool = False


def files(root: Path, entries: Sequence[str]) -> list[Path]:
    """List the definition files: the files in `entries`, and all Python files in its folders.

    Tests may be in the same folders: `test_*.py` and `conftest.py` are left out.

    Raises:
        DefinitionError: an entry does not exist.
    """
    paths: list[Path] = []
    for entry in entries:
        path = root / entry
        if path.is_dir():
            paths.extend(
                p
                for p in sorted(path.rglob("*.py"))
                if "__pycache__" not in p.parts and not _is_test(p)
            )
        elif path.is_file():
            paths.append(path)
        else:
            raise DefinitionError(
                f"definitions: there is no file or folder {entry!r}",
                where=Location("plane.toml"),
                hint="correct `definitions` in plane.toml, or create it",
            )
    return list(dict.fromkeys(paths))


def _is_test(path: Path) -> bool:
    return path.name.startswith("test_") or path.name == "conftest.py"


def load(root: Path, entries: Sequence[str]) -> tuple[Definitions, list[PlaneError]]:
    """Run every definition file once; return the definitions and the problems.

    A file that fails is a problem; the others are still loaded. Files can import each other by
    module name: the folder of every definition file is importable.
    """
    definitions = Definitions()
    problems: list[PlaneError] = []
    try:
        paths = files(root, entries)
    except DefinitionError as error:
        return definitions, [error]
    folders = list(dict.fromkeys(str(p.parent) for p in paths))
    seen: set[int] = set()
    with importable(folders):
        for path in paths:
            try:
                _collect(_run(path), definitions, seen)
            except PlaneError as error:
                problems.append(error)
    problems += keep_well_shaped(definitions)
    definitions.entities.sort(key=_position)
    definitions.sources.sort(key=_position)
    definitions.views.sort(key=_position)
    definitions.services.sort(key=_position)
    return definitions, problems


def keep_well_shaped(definitions: Definitions) -> list[PlaneError]:
    """Remove definitions whose arguments have a wrong type, and those built on them.

    Returns the problems.
    """
    if definitions.well_shaped:
        return []
    shapes = Shapes()
    definitions.entities = list(filter(shapes.fit, definitions.entities))
    definitions.sources = list(filter(shapes.fit, definitions.sources))
    definitions.views = list(filter(shapes.fit, definitions.views))
    definitions.services = list(filter(shapes.fit, definitions.services))
    definitions.well_shaped = True
    return list(shapes.problems)


def _position(
    definition: Entity | BatchSource | BatchFeatureView | FeatureService,
) -> tuple[str, int]:
    return definition.location.file, definition.location.line


def _run(path: Path) -> object:
    name = path.stem
    # Another definition file may have imported this one: run again, its objects would exist twice.
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path.name} can't be loaded as Python", where=Location(str(path)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with running(path.name, str(path)):
            spec.loader.exec_module(module)
    except PlaneError:
        # A later import must run the file again and fail, not use the half of it that ran.
        del sys.modules[name]
        raise
    return module


def _collect(module: object, definitions: Definitions, seen: set[int]) -> None:
    """Collect the definitions of a module; those imported from another module are `seen` once."""
    for value in vars(module).values():
        match value:
            case _ if id(value) in seen:
                continue
            case Entity():
                definitions.entities.append(value)
            case BatchSource():
                definitions.sources.append(value)
            case BatchFeatureView():
                definitions.views.append(value)
            case FeatureService():
                definitions.services.append(value)
            case _:
                continue
        seen.add(id(value))  # `definitions` keeps the object alive, so its id is not reused
