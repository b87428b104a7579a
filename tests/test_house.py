"""The rules of the house that no other tool checks: size, words, doors, and how light an import
is."""

from __future__ import annotations

import ast
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.children import CHILDREN, LOADED

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("controlplane", "connectors", "dag_templates")
# The two doors where anything may be raised, and one handler in each turns it into words.
LAST_RESORTS = {
    "controlplane/cli/app.py": "a bug becomes exit code 3 and a report",
    "controlplane/compile/usercode.py": "users' own code becomes an error with their file and line",
}
LONGEST_MODULE = 400  # lines
LIGHT = 0.3  # CPU seconds of a whole process

Function = ast.FunctionDef | ast.AsyncFunctionDef


def kept_files() -> list[str]:
    """Every file that git keeps or would keep, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


FILES = kept_files()
MODULES = [name for name in FILES if name.endswith(".py")]
SHIPPED = [name for name in MODULES if name.split("/")[0] in PACKAGES]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def offences(
    modules: list[str], find: Callable[[str, ast.Module], Iterator[tuple[int, str]]]
) -> list[str]:
    """`file:line: what` for all that `find` yields of each module's source and tree."""
    found = []
    for name in modules:
        source = text_of(name)
        found += [f"{name}:{line}: {what}" for line, what in find(source, ast.parse(source, name))]
    return found


def test_there_is_a_house_to_check() -> None:
    assert {"controlplane/base/types.py", "connectors/__init__.py", "tests/test_house.py"} <= set(
        MODULES
    )


def test_no_module_is_too_long() -> None:
    lengths = {name: len(text_of(name).splitlines()) for name in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_every_module_says_what_it_is_for() -> None:
    def missing(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
        if source.strip() and not ast.get_docstring(tree):
            yield 1, "no docstring"

    assert offences(MODULES, missing) == []


def test_every_room_has_a_charter() -> None:
    # A file that no import can name, such as a numbered migration, is a script: its folder is not a
    # room.
    rooms = {str(Path(name).parent) for name in SHIPPED if Path(name).stem.isidentifier()}
    uncharted = [room for room in sorted(rooms) if not (ROOT / room / "__init__.py").is_file()]
    empty = [
        room
        for room in sorted(rooms - set(uncharted))
        if not ast.get_docstring(ast.parse(text_of(f"{room}/__init__.py")))
    ]
    assert (uncharted, empty) == ([], [])


def undocumented(_: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        if (
            isinstance(node, Function | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            yield node.lineno, f"{node.name} has no docstring"


def test_public_names_are_documented() -> None:
    assert offences(SHIPPED, undocumented) == []


def stands_for_itself(function: Function) -> bool:
    """Whether it is a realtime feature, which runs apart from its module and so imports inside."""
    return any(ast.unparse(one).startswith("realtime_feature(") for one in function.decorator_list)


def hidden_imports(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    lines = source.splitlines()
    functions = (
        node
        for node in ast.walk(tree)
        if isinstance(node, Function) and not stands_for_itself(node)
    )
    imports = {
        node
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    for node in sorted(imports, key=lambda node: node.lineno):
        beside = lines[max(node.lineno - 2, 0) : node.end_lineno]
        if not any(re.search(r"#.*\blazy: \S", line) for line in beside):
            yield node.lineno, "import in a function without a `# lazy: reason`"


def test_imports_stand_at_the_top() -> None:
    assert offences(MODULES, hidden_imports) == []


def broad_excepts(_: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(
            kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds
        )
        last = node.body[-1]
        if broad and not (isinstance(last, ast.Raise) and last.exc is None):
            yield node.lineno, "broad except that does not raise again"


def test_no_failure_is_swallowed() -> None:
    assert offences([name for name in MODULES if name not in LAST_RESORTS], broad_excepts) == []
    for name in LAST_RESORTS:
        assert len(offences([name], broad_excepts)) <= 1, name


def patches(_: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case (
                ast.ImportFrom(module="mock" | "unittest.mock")
                | ast.ImportFrom(module="unittest", names=[ast.alias(name="mock")])
            ):
                yield node.lineno, "a mock"
            case ast.Import(names=names) if any(
                alias.name in {"mock", "unittest.mock"} for alias in names
            ):
                yield node.lineno, "a mock"
            case ast.Attribute(
                value=ast.Name(id="monkeypatch"), attr="setattr" | "setitem" | "delattr"
            ):
                yield node.lineno, f"monkeypatch.{node.attr}"
            case ast.arg(arg="mocker"):
                yield node.lineno, "a mock"


def test_nothing_is_patched() -> None:
    assert offences(MODULES, patches) == []


FOREIGN = {
    "a machine's own path": re.compile(
        r"(?<![\w.}*-])/(?:home|Users|root|work|tmp|var/folders)/\w"
    ),
    "a registry's host": re.compile(
        r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|registry\.[\w-]+\.\w|artifact[o]ry"
        r"|(?:index-url|find-links)[ =]+\S*/"
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_files_know_no_machine(what: str) -> None:
    found = []
    for name in FILES:
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            lines = content.decode("utf-8").splitlines()
            found += [
                f"{name}:{number}: {line.strip()}"
                for number, line in enumerate(lines, 1)
                if FOREIGN[what].search(line)
            ]
    assert found == []


GOOD = """
def act():
    # lazy: it is heavy
    import this
    try:
        this.x()
    except Exception:
        print("told")
        raise
    except (KeyError, ValueError):
        pass
"""
BAD = """
def act(monkeypatch):
    import this
    from unittest import mock
    try:
        monkeypatch.setattr(this, "x", 1)
    except (ValueError, Exception):
        pass
"""


@pytest.mark.parametrize("rule", [undocumented, hidden_imports, broad_excepts, patches])
def test_a_rule_can_be_broken(rule: Callable[[str, ast.Module], Iterator[tuple[int, str]]]) -> None:
    assert list(rule(BAD, ast.parse(BAD)))
    assert rule is undocumented or not list(rule(GOOD, ast.parse(GOOD)))


def modules(told: Any) -> None:
    """What a child has loaded when it begins."""
    told.send(set(sys.modules))


def test_children_begin_with_all_that_is_loaded_once() -> None:
    ours, theirs = CHILDREN.Pipe(duplex=False)
    child = CHILDREN.Process(target=modules, args=(theirs,))
    child.start()
    assert ours.recv() >= set(LOADED)
    child.join()
    # Whoever speaks last would be the only one who is heard.
    said = "CHILDREN" + ".set_forkserver_preload"
    assert [
        path.name for path in ROOT.joinpath("tests").rglob("*.py") if said in path.read_text()
    ] == ["children.py"]


def python(program: str, *arguments: str) -> str:
    """What a fresh interpreter prints for `program`."""
    # As in a newcomer's shell: what other tests or a machine say of Python by variables is left
    # out.
    plain = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=plain)
    return done.stdout


def lightest(program: str, *arguments: str) -> float:
    """CPU seconds, user and system, of the best of five fresh interpreters."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python(program, *arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


PLANE = (  # as the console script does
    "import sys; from controlplane.cli.app import main; sys.exit(main())"
)


BARE = 0.012
"""CPU seconds of an interpreter that does nothing, on a machine that does nothing else."""


def limit() -> float:
    """The promise; on a machine that is busy just now, as an empty interpreter tells, at most twice
    as much."""
    return LIGHT * min(2.0, max(1.0, lightest("pass") / BARE))


def test_importing_is_light() -> None:
    assert lightest("import controlplane") < limit()


def test_help_is_light() -> None:
    assert lightest(PLANE, "--help") < limit()


HEAVY = {
    "airflow",
    "alembic",
    "databricks",
    "duckdb",
    "hiredis",
    "psycopg",
    "pyarrow",
    "redis",
    "snowflake",
    "sqlalchemy",
    "sqlglot",
}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("controlplane", HEAVY | {"jinja2", "msgspec", "rich", "typer", "connectors"}),
        ("controlplane.cli.app", HEAVY | {"connectors"}),
    ],
)
def test_only_what_is_needed_is_loaded(module: str, absent: set[str]) -> None:
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert {name.split(".")[0] for name in loaded} & absent == set()
