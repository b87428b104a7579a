"""`plane.toml`: one project and its environments. Values may come from environment variables, secrets must.

A value `"${NAME}"` is the variable NAME; it is read when an environment is used, so that a file without the secrets
of production still works for the others.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from controlplane.errors import Location, PlaneError, Problems, SettingsError
from controlplane.naming import is_name
from controlplane.types import parse_instant

FILE = "plane.toml"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"password|passphrase|token|secret|private_key|api_key", re.IGNORECASE)


class ProjectTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[project]`."""

    name: str
    dialect: str = "duckdb"
    definitions: tuple[str, ...] = ("features",)


class AirflowTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[environments.<name>.airflow]`: where releases are written, and the embedded Airflow's home."""

    releases: str = ".plane/airflow/dags"
    home: str = ".plane/airflow"


class EnvironmentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[environments.<name>]`."""

    warehouse: dict[str, Any]
    schema: str = "features"
    now: str | None = None
    online: dict[str, Any] | None = None
    state: str = "sqlite:///.plane/state.db"
    airflow: AirflowTable = AirflowTable()


class SettingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    project: ProjectTable
    environments: dict[str, EnvironmentTable]


@dataclass(frozen=True)
class Environment:
    """One environment, with its variables filled in. Do not print it: it may hold secrets.

    Paths are absolute; `now` is set where time stands still; `warehouse` and `online` hold the connectors' options;
    `online` is None where there is no online store.
    """

    project: str
    dialect: str
    definitions: tuple[str, ...]
    name: str
    schema: str
    now: datetime | None
    warehouse_kind: str
    warehouse: Mapping[str, Any]
    online: Mapping[str, Any] | None
    embedded_online: bool
    state: str
    releases: Path
    airflow_home: Path
    root: Path


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds a plane.toml.

    Raises:
        SettingsError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE).is_file():
            return folder
    raise SettingsError(
        f"there is no {FILE} in {start} or above it", hint="run `plane init`, or go to a project's folder"
    )


def load(root: Path, environment: str | None = None) -> Environment:
    """The settings of one environment.

    Args:
        root: the folder of plane.toml.
        environment: its name; PLANE_ENV unless given, else `local`, else the only one.

    Raises:
        SettingsError: the file is wrong, a variable is not set, or there is no such environment.
        Problems: several of these.
    """
    where = Location(FILE)
    try:
        file = msgspec.convert(tomllib.loads((root / FILE).read_text(encoding="utf-8")), SettingsFile)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        place = Location(FILE, int(line[1]) if line else 0)
        raise SettingsError(f"plane.toml is not valid TOML: {error}", where=place) from None
    except msgspec.ValidationError as error:
        hint = "see `plane init` for a complete file"
        raise SettingsError(f"plane.toml: {error}", where=where, hint=hint) from None
    except OSError as error:
        raise SettingsError(f"plane.toml can't be read: {error.strerror}", where=where) from None
    name = environment or os.environ.get("PLANE_ENV") or _default(file)
    if name not in file.environments:
        known = ", ".join(file.environments) or "(none)"
        raise SettingsError(f"there is no environment {name!r}", where=where, hint=f"choose from: {known}")
    return _environment(root, file.project, name, file.environments[name])


def _default(file: SettingsFile) -> str:
    return next(iter(file.environments)) if len(file.environments) == 1 else "local"


def _environment(root: Path, project: ProjectTable, name: str, table: EnvironmentTable) -> Environment:
    problems: list[PlaneError] = []
    where = Location(FILE)
    for what, text in (("project name", project.name), ("environment", name), ("schema", table.schema)):
        if not is_name(text):
            hint = "use letters, digits and single underscores, beginning with a letter"
            problems.append(SettingsError(f"plane.toml: {what} {text!r} is not a name", where=where, hint=hint))
    now: datetime | None = None
    if table.now is not None:
        try:
            now = parse_instant(table.now)
        except ValueError as error:
            problems.append(SettingsError(f"plane.toml: environments.{name}.now: {error}", where=where))
    warehouse = _filled(table.warehouse, f"environments.{name}.warehouse", problems)
    online = _filled(table.online, f"environments.{name}.online", problems) if table.online is not None else None
    state = _filled({"state": table.state}, f"environments.{name}", problems).get("state", "")
    if "kind" not in warehouse:
        text = f'plane.toml: environments.{name}.warehouse has no kind, such as kind = "duckdb"'
        problems.append(SettingsError(text, where=where))
    if problems:
        raise Problems(problems)
    embedded = bool(online and online.pop("embedded", False))
    if isinstance(warehouse.get("path"), str) and warehouse["path"] != ":memory:":
        warehouse["path"] = str(root / warehouse["path"])
    if state.startswith("sqlite:///"):
        state = f"sqlite:///{root / state.removeprefix('sqlite:///')}"
    return Environment(
        project=project.name,
        dialect=project.dialect,
        definitions=project.definitions,
        name=name,
        schema=table.schema,
        now=now,
        warehouse_kind=str(warehouse.pop("kind")),
        warehouse=warehouse,
        online=online,
        embedded_online=embedded,
        state=state,
        releases=root / table.airflow.releases,
        airflow_home=root / table.airflow.home,
        root=root,
    )


def _filled(table: Mapping[str, Any], path: str, problems: list[PlaneError]) -> dict[str, Any]:
    """The table with `${NAME}` replaced; what is missing, and every secret written out, is a problem."""
    where = Location(FILE)
    found: dict[str, Any] = {}
    for key, value in table.items():
        if not isinstance(value, str):
            found[key] = value
            continue
        literal = not _VARIABLE.search(value)
        if literal and (_SECRET.search(key) or _url_password(value)):
            hint = f'write {key} = "${{SOME_VARIABLE}}" and set the variable'
            problems.append(SettingsError(f"plane.toml: {path}.{key} holds a secret", where=where, hint=hint))
            continue
        missing = [name for name in _VARIABLE.findall(value) if name not in os.environ]
        if missing:
            text = f"plane.toml: {path}.{key} needs the environment variable {', '.join(missing)}"
            problems.append(SettingsError(text, where=where, hint=f"export {missing[0]}=..."))
            continue
        found[key] = _VARIABLE.sub(lambda match: os.environ[match[1]], value)
    return found


def _url_password(value: str) -> bool:
    try:
        return bool(urlsplit(value).password)
    except ValueError:
        return False
