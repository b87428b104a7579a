"""`plane.toml`: one project and its environments.

Values may come from environment variables, and secrets must. A value `"${NAME}"` stands for the
variable NAME. Variables are read only for the environment that is used, so that the other
environments work on a machine without the secrets of production.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
import msgspec.inspect

from controlplane.base.naming import is_name, name_remedy
from controlplane.base.types import InvalidValue, Tasks, parse_instant
from controlplane.errors import Location, PlaneError, Problems, SettingsError

FILE = "plane.toml"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Names of options that hold a secret; private_key_file and the like only tell where it is.
_SECRET = re.compile(
    r"(password|passphrase|token|secret|private_key|api_key)(?!\w*_(file|path|url)$)", re.IGNORECASE
)
# Not urlsplit alone: it ends the host at the first /, ? or #, which a password may hold unescaped.
_PASSWORD = re.compile(r"://[^:/?#@]*:[^@]+@")
T = TypeVar("T", bound=msgspec.Struct)


class ProjectTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[project]`."""

    name: str
    dialect: str = "duckdb"
    definitions: tuple[str, ...] = ("features",)


class AirflowTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[environments.<name>.airflow]`.

    Attributes:
        releases: the folder of releases.
        home: AIRFLOW_HOME of the embedded Airflow.
        tasks: `steps`: each step of a run is a task; `view`: one task does all steps.
    """

    releases: str | None = None
    home: str | None = None
    tasks: Tasks = "steps"


class EnvironmentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[environments.<name>]`; `dialect` defaults to the project's."""

    warehouse: dict[str, Any]
    dialect: str | None = None
    schema: str = "features"
    now: str | None = None
    online: dict[str, Any] | None = None
    state: str = "sqlite:///.plane/state.db"
    airflow: AirflowTable = AirflowTable()


@dataclass(frozen=True)
class Environment:
    """One environment, with the values of its variables. Don't print it: it may hold secrets.

    Attributes:
        now: the fixed time of the environment; None: the wall clock.
        warehouse: the options of the warehouse's connector.
        online: the options of the online store's connector; None: there is no online store.
        embedded_online: whether the online store is the embedded one.
        releases: the folder of releases. All paths are absolute.
        reader_role: the role that may read public views; empty: no rights are granted.
        tasks: of a run in Airflow, for views that don't say it.
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
    tasks: Tasks = "steps"


def find_root(start: Path) -> Path:
    """Return the nearest folder with a plane.toml, at or above `start`.

    Raises:
        SettingsError: there is no such folder.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE).is_file():
            return folder
    raise SettingsError(
        f"there is no {FILE} in {start} or above it",
        hint="run `plane init`, or go to a project's folder",
    )


def load(root: Path, environment: str | None = None) -> Environment:
    """Load the settings of one environment.

    Args:
        root: the folder of plane.toml.
        environment: its name (default: PLANE_ENV, else the only environment, else `local`).

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
    loaded = _environment(root, project, name, environments[name], toml, problems)
    if problems:
        raise _only(problems)
    return loaded


class _Toml:
    """The text and the values of the file."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        try:
            self.value: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"line (\d+)", str(error))
            location = Location(FILE, int(line[1]) if line else len(self._lines))
            raise SettingsError(
                f"this is not valid TOML: {error}", where=location, hint="correct the line"
            ) from None

    def where(self, *path: str) -> Location:
        """Return the line of the value at `path`, else of the innermost table around it."""
        # tomllib has no line numbers, so this looks for the header or the key in the text.
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
    """Return the tables of the project and of the environments, except those with problems."""
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
    toml: _Toml, path: tuple[str, ...], value: object, struct: type[T], problems: list[PlaneError]
) -> T | None:
    """Convert a table; adds unknown keys and wrong values to the problems."""
    if isinstance(value, dict):
        # msgspec would stop at the first unknown key, and report nothing else.
        fields = msgspec.structs.fields(struct)
        known = [field.name for field in fields]
        for key in [key for key in value if key not in known]:
            text = f"unknown key {'.'.join((*path, key))}"
            hint = f"the keys of {'.'.join(path)} are: {', '.join(known)}"
            problems.append(SettingsError(text, where=toml.where(*path, key), hint=hint))
        value = {key: inner for key, inner in value.items() if key in known}
    try:
        return msgspec.convert(value, struct)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        at = (*path, *inside.strip("`.").replace("[", ".[").split(".")) if inside else path
        text, hint = f"{text[:1].lower()}{text[1:]}", "see `plane init` for a complete file"
        if choices := _choices(struct, at[len(path) :]):
            text = f"{text.removeprefix('invalid enum value ')} is not one of its values"
            hint = f"choose from: {', '.join(choices)}"
        text = f"{'.'.join(at)}: {text}"
        problems.append(SettingsError(text, where=toml.where(*at), hint=hint))
        return None


def _choices(struct: type[msgspec.Struct], keys: Sequence[str]) -> Sequence[str]:
    """Return the texts that a key of a table can be; empty if it is not one of some texts."""
    inner: msgspec.inspect.Type = msgspec.inspect.type_info(struct)
    for key in keys:
        fields = inner.fields if isinstance(inner, msgspec.inspect.StructType) else ()
        inner = next((f.type for f in fields if f.name == key), msgspec.inspect.AnyType())
    values = inner.values if isinstance(inner, msgspec.inspect.LiteralType) else ()
    return [str(value) for value in values]


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
    """Return the environment, which is complete only if there are no problems."""
    path = ("environments", name)
    for subject, text, where in (
        ("project name", project.name, toml.where("project", "name")),
        ("environment", name, toml.where(*path)),
        ("schema", table.schema, toml.where(*path, "schema")),
    ):
        if not is_name(text):
            problems.append(
                SettingsError(
                    f"{subject} {text!r} is not a name", where=where, hint=name_remedy(text)
                )
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
        text = f"environments.{name}.warehouse has no kind"
        hint = 'write one, such as kind = "duckdb"'
        problems.append(SettingsError(text, where=toml.where(*path, "warehouse"), hint=hint))
    # Taken out: this and `embedded` are settings of the environment, and no options of a connector.
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
    # Relative paths are relative to plane.toml, not to the folder that a command runs in.
    # An absolute path stays as it is: `root / path` ignores `root` then.
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
        tasks=table.airflow.tasks,
    )


def _filled(
    table: Mapping[str, Any], path: tuple[str, ...], toml: _Toml, problems: list[PlaneError]
) -> dict[str, Any]:
    """Replace `${NAME}` in a table; adds missing variables and written secrets to the problems."""
    filled: dict[str, Any] = {}
    for key, value in table.items():
        full, where = ".".join((*path, key)), toml.where(*path, key)
        if isinstance(value, dict):
            filled[key] = _filled(value, (*path, key), toml, problems)
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
        filled[key] = _VARIABLE.sub(lambda match: os.environ[match[1]], value) if names else value
    return filled


def _url_secret(value: str) -> bool:
    if _PASSWORD.search(value):
        return True
    try:
        url = urlsplit(value)
        return bool(url.password) or any(_SECRET.search(name) for name, _ in parse_qsl(url.query))
    except ValueError:
        return False
