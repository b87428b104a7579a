"""The canonical text of a user's Python function, which runs without its module.

Comments, white space, annotations and the docstring are not part of the text: to edit them changes
no fingerprint.
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import symtable
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from controlplane.compile.problems import Collector, listing
from controlplane.definitions.realtime import RealtimeFeature
from controlplane.errors import Location

WITHOUT_LISTS = ("snowflake",)
"""Dialects whose lists have items without types: Python would get other types than a reader."""
_MODULES = (
    "base64 binascii bisect cmath collections datetime decimal fractions functools hashlib heapq"
    " html ipaddress itertools json math numbers operator re statistics string struct textwrap"
    " typing unicodedata zlib"
)
MODULES = frozenset(_MODULES.split(" "))
"""Modules that a function may import: part of Python, with equal results in every process."""
_UNSAFE = (
    "__import__ breakpoint compile delattr dir eval exec exit globals hash help id input locals"
    " open print quit setattr vars"
)
UNSAFE = frozenset(_UNSAFE.split(" "))
"""Builtins whose value depends on the process, or that have an effect."""
_CLOCKS = ("now", "today", "utcnow")
_ALONE = "a function must run without its module, in the warehouse: "


def source_of(feature: RealtimeFeature, subject: str, collector: Collector) -> str | None:
    """Return the canonical text of a function; None after its problems were noted."""
    function = feature.function
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        collector.add(
            f"{subject}: it is not a function",
            feature.location,
            "decorate a function that is made by `def`",
        )
        return None
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError, ValueError):
        hint = "write it in a definition file, at the beginning of a line"
        collector.add(f"{subject}: the text of its function can't be read", feature.location, hint)
        return None
    if not isinstance(tree, ast.FunctionDef):
        collector.add(
            f"{subject}: its function is asynchronous", feature.location, "write a plain `def`"
        )
        return None
    text = _canonical(tree)
    obstacles = [*_signature(function, tree), *_uses(function, tree, text)]
    for line, problem, hint in obstacles:
        location = Location(feature.location.file, feature.location.line + line - 1)
        collector.add(f"{subject}: its function {problem}", location, hint)
    return None if obstacles else text


Obstacles = Iterator[tuple[int, str, str]]
"""Line in the function's own text, what is wrong, what to do."""


def _canonical(tree: ast.FunctionDef) -> str:
    # A copy: the caller still reads decorators and lines from the tree.
    bare = copy.deepcopy(tree)
    bare.decorator_list, bare.returns = [], None
    for argument in bare.args.args:
        argument.annotation = None
    if ast.get_docstring(bare) is not None:
        bare.body = bare.body[1:] or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(bare))


def _signature(function: Callable[..., Any], tree: ast.FunctionDef) -> Obstacles:
    if len(tree.decorator_list) > 1:
        yield tree.decorator_list[1].lineno, "has another decorator", "leave it out"
    if inspect.isgeneratorfunction(function):
        yield tree.lineno, "is a generator", "return one value"
    arguments = tree.args
    if (
        arguments.vararg
        or arguments.kwarg
        or arguments.kwonlyargs
        or arguments.posonlyargs
        or arguments.defaults
    ):
        yield (
            tree.lineno,
            "has parameters that are not plain names",
            "name each input once: (amount, view__feature)",
        )


def _uses(function: Callable[..., Any], tree: ast.FunctionDef, text: str) -> Obstacles:
    if "$$" in text:
        yield tree.lineno, "contains $$, which ends the body in a warehouse", 'write "$" "$"'
    outside = [*function.__code__.co_freevars, *_outside(text, tree.name)]
    for name in dict.fromkeys(outside):
        unsafe = name in UNSAFE
        problem = (
            f"uses {name!r}, which it does not define"
            if not unsafe
            else f"calls {name}, which does more than compute"
        )
        hint = (
            f"{_ALONE}import or define what it needs inside"
            if not unsafe
            else "return a value that depends only on its inputs"
        )
        yield _line(tree, name), problem, hint
    for node in ast.walk(tree):
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield node.lineno, "changes names outside of it", "return one value"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names]
            names = (
                ["." * node.level + (node.module or "")]
                if isinstance(node, ast.ImportFrom)
                else modules
            )
            wrong = [name for name in names if name.partition(".")[0] not in MODULES]
            if wrong:
                hint = f"{_ALONE}it may import {listing(sorted(MODULES))}"
                yield node.lineno, f"imports {listing(wrong)}", hint
        elif isinstance(node, ast.Attribute) and node.attr in _CLOCKS:
            hint = "training and serving would differ: take the time as a request field"
            yield node.lineno, f"reads the clock ({node.attr})", hint
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and _zoneless(node, node.func.attr)
        ):
            hint = "training and serving would differ: give a zone, such as UTC"
            yield node.lineno, f"uses the time zone of its process ({node.func.attr})", hint


def _zoneless(call: ast.Call, name: str) -> bool:
    """Tell whether a call of that name depends on the time zone of the process."""
    count = len(call.args) + len(call.keywords)
    return (name, count) in {("astimezone", 0), ("fromtimestamp", 1)}


def _outside(text: str, own: str) -> list[str]:
    """Return the global names that a function uses, except safe builtins."""
    names: dict[str, None] = {}
    waiting = list(symtable.symtable(text, "<function>", "exec").get_children())
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if (
                symbol.is_global()
                and name != own
                and (name in UNSAFE or not hasattr(builtins, name))
            ):
                names[name] = None
    return list(names)


def _line(tree: ast.AST, name: str) -> int:
    lines = (
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name
    )
    return min(lines, default=1)
