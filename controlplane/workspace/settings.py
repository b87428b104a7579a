"""`plane.toml`: one project and its environments.

Values may come from environment variables, secrets must.

A value `"${NAME}"` is the variable NAME; it is read when an environment is used, so that a file
without the secrets of production still works for the others.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from controlplane.base.naming import is_name, name_remedy
from controlplane.base.types import InvalidValue, parse_instant
from controlplane.errors import Location, PlaneError, Problems, SettingsError

FILE = "plane.toml"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(
    r"(password|passphrase|token|secret|private_key|api_key)(?!\w*_(file|path|url)$)", re.IGNORECASE
)
# A URL's parser ends the host at the first /, ? or #, which a password may hold unescaped.
_PASSWORD = re.compile(r"://[^:/?#@]*:[^@]+@")
T = TypeVar("T", bound=msgspec.Struct)


class ProjectTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[project]`."""

    name: str
    dialect: str = "duckdb"
    definitions: tuple[str, ...] = ("features",)


class AirflowTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[environments.<name>.airflow]`: where releases are written, and the embedded
    Airflow's home."""

    releases: str | None = None
    home: str | None = None


class EnvironmentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[environments.<name>]`; `dialect` is the project's unless given."""

    warehouse: dict[str, Any]
    dialect: str | None = None
    schema: str = "features"
    now: str | None = None
    online: dict[str, Any] | None = None
    state: str = "sqlite:///.plane/state.db"
    airflow: AirflowTable = AirflowTable()


@dataclass(frozen=True)
class Environment:
    """One environment, with its variables filled in. Do not print it: it may hold secrets.

    Paths are absolute; `now` is set where time stands still; `warehouse` and `online` hold the
    connectors' options; `online` is None where there is no online store; `reader_role` is empty
    where nobody is granted anything.
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
    reader_role: str = ""


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds a plane.toml.

    Raises:
        SettingsError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE).is_file():
            return folder
    raise SettingsError(
        f"there is no {FILE} in {start} or above it",
        hint="run `plane init`, or go to a project's folder",
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
    toml = _Toml(_text(root))
    problems: list[PlaneError] = []
    project, environments = _tables(toml, problems)
    name = environment or os.environ.get("PLANE_ENV") or _default(toml.value)
    known = toml.value.get("environments", {})
    if isinstance(known, dict) and name not in known:
        hint = f"choose from: {', '.join(known) or '(none)'}"
        problems.append(
            SettingsError(f"there is no environment {name!r}", where=Location(FILE), hint=hint)
        )
    if project is None or name not in environments:
        raise _only(problems)
    found = _environment(root, project, name, environments[name], toml, problems)
    if problems:
        raise _only(problems)
    return found


class _Toml:
    """The file's text and what it says."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        try:
            self.value: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"line (\d+)", str(error))
            place = Location(FILE, int(line[1]) if line else len(self._lines))
            raise SettingsError(
                f"this is not valid TOML: {error}", where=place, hint="correct the line"
            ) from None

    def where(self, *path: str) -> Location:
        """The line of the value at `path`, or of the innermost table around it that stands in the
        file."""
        table: list[str] = []
        for number, line in enumerate(self._lines, start=1):
            if header := re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(#.*)?", line):
                table = [part.strip(" \"'") for part in header[1].split(".")]
                if table == list(path):
                    return Location(FILE, number)
            elif table == list(path[: len(table)]) and re.search(
                rf"(?<![\w-])[\"']?{re.escape(path[-1])}[\"']?\s*=", line
            ):
                return Location(FILE, number)
        return self.where(*path[:-1]) if len(path) > 1 else Location(FILE)


def _text(root: Path) -> str:
    try:
        # Editors on Windows write a byte order mark.
        return (root / FILE).read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = "let your user read it"
        raise SettingsError(
            f"it can't be read: {error.strerror}", where=Location(FILE), hint=hint
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(
            "it is not UTF-8 text", where=Location(FILE), hint="save it as UTF-8"
        ) from None


def _only(problems: list[PlaneError]) -> PlaneError:
    return problems[0] if len(problems) == 1 else Problems(problems)


def _tables(
    toml: _Toml, problems: list[PlaneError]
) -> tuple[ProjectTable | None, dict[str, EnvironmentTable]]:
    """The project and every environment whose tables have the right shape."""
    for key in toml.value:
        if key not in ("project", "environments"):
            hint = "the file has [project] and [environments.<name>]"
            problems.append(SettingsError(f"unknown key {key!r}", where=toml.where(key), hint=hint))
    project = _shaped(toml, ("project",), toml.value.get("project", {}), ProjectTable, problems)
    tables = toml.value.get("environments", {})
    if not isinstance(tables, dict):
        hint = "write [environments.local]"
        problems.append(
            SettingsError("environments is not a table", where=Location(FILE), hint=hint)
        )
        tables = {}
    shaped = {
        n: _shaped(toml, ("environments", n), table, EnvironmentTable, problems)
        for n, table in tables.items()
    }
    return project, {name: table for name, table in shaped.items() if table is not None}


def _shaped(
    toml: _Toml, path: tuple[str, ...], value: object, kind: type[T], problems: list[PlaneError]
) -> T | None:
    """The value as `kind`.

    Every key that this does not know, or else what is wrong, is a problem.
    """
    if isinstance(value, dict):
        fields = msgspec.structs.fields(kind)
        known = [field.name for field in fields]
        for key in [key for key in value if key not in known]:
            text = f"unknown key {'.'.join((*path, key))}"
            hint = f"the keys of {'.'.join(path)} are: {', '.join(known)}"
            problems.append(SettingsError(text, where=toml.where(*path, key), hint=hint))
        value = {key: inner for key, inner in value.items() if key in known}
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        at = (*path, *inside.strip("`.").replace("[", ".[").split(".")) if inside else path
        text = f"{'.'.join(at)}: {text[:1].lower()}{text[1:]}"
        problems.append(
            SettingsError(text, where=toml.where(*at), hint="see `plane init` for a complete file")
        )
        return None


def _default(value: Mapping[str, Any]) -> str:
    known = value.get("environments")
    return next(iter(known)) if isinstance(known, dict) and len(known) == 1 else "local"


def _environment(
    root: Path,
    project: ProjectTable,
    name: str,
    table: EnvironmentTable,
    toml: _Toml,
    problems: list[PlaneError],
) -> Environment:
    """The environment; it may be used only if there are no problems."""
    path = ("environments", name)
    for what, text, where in (
        ("project name", project.name, toml.where("project", "name")),
        ("environment", name, toml.where(*path)),
        ("schema", table.schema, toml.where(*path, "schema")),
    ):
        if not is_name(text):
            problems.append(
                SettingsError(f"{what} {text!r} is not a name", where=where, hint=name_remedy(text))
            )
    now: datetime | None = None
    if table.now is not None:
        try:
            now = parse_instant(table.now)
        except InvalidValue as error:
            where, text = toml.where(*path, "now"), f"environments.{name}.now: {error.problem}"
            problems.append(SettingsError(text, where=where, hint=error.remedy))
    warehouse = _filled(table.warehouse, (*path, "warehouse"), toml, problems)
    online = (
        _filled(table.online, (*path, "online"), toml, problems)
        if table.online is not None
        else None
    )
    state = str(_filled({"state": table.state}, path, toml, problems).get("state", ""))
    if "kind" not in table.warehouse:
        text, hint = (
            f"environments.{name}.warehouse has no kind",
            'write one, such as kind = "duckdb"',
        )
        problems.append(SettingsError(text, where=toml.where(*path, "warehouse"), hint=hint))
    role = warehouse.pop("reader_role", "")
    if not isinstance(role, str) or (role and warehouse.get("kind") == "duckdb"):
        text = f"environments.{name}.warehouse.reader_role: DuckDB grants no rights"
        if not isinstance(role, str):
            text = (
                f"environments.{name}.warehouse.reader_role: it must be a text, the name of a role"
            )
        hint = "leave it out: anyone who can open the file reads all of it"
        problems.append(SettingsError(text, where=toml.where(*path, "warehouse"), hint=hint))
    embedded = bool(online and online.pop("embedded", False))
    if isinstance(warehouse.get("path"), str) and warehouse["path"] != ":memory:":
        warehouse["path"] = str(root / warehouse["path"])
    for file in ("ca_certificate", "certificate", "private_key_file"):
        if online and isinstance(online.get(file), str):
            online[file] = str(root / online[file])
    if state.startswith("sqlite:///"):
        state = f"sqlite:///{root / state.removeprefix('sqlite:///')}"
    return Environment(
        project=project.name,
        dialect=table.dialect or project.dialect,
        definitions=project.definitions,
        name=name,
        schema=table.schema,
        now=now,
        warehouse_kind=str(warehouse.pop("kind", "")),
        warehouse=warehouse,
        online=online,
        embedded_online=embedded,
        state=state,
        releases=root / (table.airflow.releases or f".plane/airflow/{name}/dags"),
        airflow_home=root / (table.airflow.home or f".plane/airflow/{name}"),
        root=root,
        reader_role=str(role),
    )


def _filled(
    table: Mapping[str, Any], path: tuple[str, ...], toml: _Toml, problems: list[PlaneError]
) -> dict[str, Any]:
    """The table with `${NAME}` replaced.

    What is missing, and every secret written out, is a problem.
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        full, where = ".".join((*path, key)), toml.where(*path, key)
        if isinstance(value, dict):
            found[key] = _filled(value, (*path, key), toml, problems)
            continue
        names = _VARIABLE.findall(value) if isinstance(value, str) else []
        if not names and (_SECRET.search(key) or (isinstance(value, str) and _url_secret(value))):
            hint = f'write {key} = "${{SOME_VARIABLE}}" and set the variable'
            problems.append(SettingsError(f"{full} holds a secret", where=where, hint=hint))
            continue
        missing = [name for name in names if name not in os.environ]
        if missing:
            text = f"{full} needs the environment variable {', '.join(missing)}, which is not set"
            problems.append(SettingsError(text, where=where, hint=f"export {missing[0]}=..."))
            continue
        found[key] = _VARIABLE.sub(lambda match: os.environ[match[1]], value) if names else value
    return found


def _url_secret(value: str) -> bool:
    if _PASSWORD.search(value):
        return True
    try:
        url = urlsplit(value)
        return bool(url.password) or any(_SECRET.search(name) for name, _ in parse_qsl(url.query))
    except ValueError:
        return False
