"""`make measures`: how the code is built, in numbers, against what it should be.

    make measures              of this clone
    make measures AGAINST=ref  of a commit, too, side by side

Exit code 1 if a number of this clone is not what it should be.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("controlplane", "connectors", "dag_templates")
FILLERS = frozenset(
    ["given", "told", "found", "one", "some", "wanted", "there", "kind", "what", "here"]
)
"""Names that say nothing of what they hold."""
RUNS = 5


@dataclass(frozen=True)
class Measure:
    """A number of a clone: its name, how it is taken, and whether it is what it should be."""

    name: str
    limit: str
    take: Callable[[Path], float]
    holds: Callable[[float], bool]


def modules(root: Path) -> Iterator[tuple[Path, str]]:
    """Every module of the packages, and its text."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "versions" not in path.parts:
                yield path, path.read_text(encoding="utf-8")


def cycles(root: Path) -> float:
    """Modules in a circle of imports; imports for annotations alone don't count."""
    graph: dict[str, set[str]] = {}
    names = {_dotted(root, path) for path, _ in modules(root)}
    for path, text in modules(root):
        own = graph.setdefault(_dotted(root, path), set())
        for node in _top_imports(ast.parse(text)):
            own |= set(_imported(node, names)) & names - {_dotted(root, path)}
    count = 0
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]
            count += len(set(circle))
            for name in circle:
                graph[name] = set()
        else:
            return count


def inner_imports(root: Path) -> float:
    """Imports inside functions."""
    count = 0
    for _, text in modules(root):
        functions = (
            n
            for n in ast.walk(ast.parse(text))
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        lines = {
            n.lineno
            for f in functions
            for n in ast.walk(f)
            if isinstance(n, ast.Import | ast.ImportFrom)
        }
        count += len(lines)
    return count


def root_entries(root: Path) -> float:
    """Rooms and modules of `controlplane`."""
    entries = (root / "controlplane").iterdir()
    return sum(
        not e.name.startswith("__") and (e.suffix == ".py" or (e / "__init__.py").exists())
        for e in entries
    )


def fillers(root: Path) -> float:
    """The share of bound names that are fillers, in percent."""
    names: Counter[str] = Counter()
    for _, text in modules(root):
        names.update(_bound(ast.parse(text)))
    return 100 * sum(names[name] for name in FILLERS) / names.total()


def long_lines(root: Path) -> float:
    """The share of lines with more than 100 characters, in percent."""
    lines = [line for _, text in modules(root) for line in text.splitlines()]
    return 100 * sum(len(line) > 100 for line in lines) / len(lines)


def comments(root: Path) -> float:
    """Lines with a comment for every 100 lines of code."""
    commented = code = 0
    for _, text in modules(root):
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        commented += len({t.start[0] for t in tokens if t.type == tokenize.COMMENT})
        empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
        code += len({t.start[0] for t in tokens if t.type not in empty})
    return 100 * commented / code


def largest(root: Path) -> float:
    """Lines of the longest module."""
    return max(text.count("\n") for _, text in modules(root))


def complexity(root: Path) -> float:
    """The highest cyclomatic complexity of a function, as ruff counts it."""
    command = [
        "ruff",
        "check",
        "--isolated",
        "--select=C901",
        "--output-format=json",
        "--exit-zero",
    ]
    command += ["--config=lint.mccabe.max-complexity=1", *PACKAGES]
    done = _run(Path(sys.executable).parent / command[0], *command[1:], cwd=root)
    return max(int(re.findall(r"\((\d+) > 1\)", one["message"])[0]) for one in json.loads(done))


def port_methods(root: Path) -> float:
    """Methods of the largest port."""
    path = next(path for path, _ in modules(root) if path.name == "ports.py")
    classes = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)]
    return max(
        sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in c.body) for c in classes
    )


def client_modules(root: Path) -> float:
    """Modules of ours in a process that holds a `FeatureClient`."""
    program = "import sys; from controlplane import FeatureClient; print(*sys.modules)"
    return sum(name.partition(".")[0] in PACKAGES for name in _python(root, program).split())


def client_start(root: Path) -> float:
    """CPU of `from controlplane import FeatureClient` in that of `import typer`."""
    return _cpu(root, "from controlplane import FeatureClient") / _cpu(root, "import typer")


def help_start(root: Path) -> float:
    """CPU of `plane --help` in that of `import typer`."""
    program = (
        "import sys; sys.argv = ['plane', '--help']; from controlplane.cli.app import main; main()"
    )
    return _cpu(root, program) / _cpu(root, "import typer")


MEASURES = (
    Measure("modules in import cycles", "0", cycles, lambda x: x == 0),
    Measure("imports inside functions", "<= 20", inner_imports, lambda x: x <= 20),
    Measure("entries of controlplane/", "<= 26", root_entries, lambda x: x <= 26),
    Measure("filler names, %", "< 1", fillers, lambda x: x < 1),
    Measure("lines over 100 characters, %", "< 0.3", long_lines, lambda x: x < 0.3),
    Measure("comment lines in 100", ">= 3", comments, lambda x: x >= 3),
    Measure("lines of the largest module", "<= 400", largest, lambda x: x <= 400),
    Measure("highest complexity", "<= 15", complexity, lambda x: x <= 15),
    Measure("methods of the largest port", "<= 8", port_methods, lambda x: x <= 8),
    Measure("modules of FeatureClient", "<= 40", client_modules, lambda x: x <= 40),
    Measure("start of FeatureClient / typer", "<= 3.5", client_start, lambda x: x <= 3.5),
    Measure("plane --help / typer", "<= 2", help_start, lambda x: x <= 2),
)


def _dotted(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _top_imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def _imported(node: ast.Import | ast.ImportFrom, names: set[str]) -> list[str]:
    """Modules, but not the package of a module: that is being imported already."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    inside = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in names else node.module or "" for name in inside]


def _bound(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def _run(*command: str | Path, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def _python(root: Path, program: str) -> str:
    return _run(
        sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {program}", cwd=root
    )


def _cpu(root: Path, program: str) -> float:
    """Seconds of CPU; the least of some runs."""
    seconds = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _python(root, program)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(seconds)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", help="a commit to compare with")
    against = parser.parse_args().against
    with tempfile.TemporaryDirectory() as folder:
        clones = {"now": ROOT}
        if against:
            _run("git", "worktree", "add", "--detach", folder, against, cwd=ROOT)
            clones = {against: Path(folder), **clones}
        table = Table("measure", *clones, "should be")
        broken = False
        for measure in MEASURES:
            numbers = [measure.take(root) for root in clones.values()]
            broken = broken or not measure.holds(numbers[-1])
            sign = "" if measure.holds(numbers[-1]) else "  (not held)"
            table.add_row(
                measure.name,
                *(f"{n:.2f}".rstrip("0").rstrip(".") for n in numbers),
                measure.limit + sign,
            )
        if against:
            _run("git", "worktree", "remove", "--force", folder, cwd=ROOT)
    Console().print(table)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
