"""What the pages show is what their commands do: every console block is run, and its lines are
compared."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from controlplane import ControlPlane
from tests.e2e.console import Command, Shell, blocks, matches
from tests.e2e.projects import EXAMPLE, REPOSITORY, copied

PAGES = sorted(
    str(page.relative_to(REPOSITORY))
    for pattern in ("*.md", "docs/**/*.md", "examples/*/README.md")
    for page in REPOSITORY.glob(pattern)
)
NOT_RUN = {"README.md": 1, "examples/05-warehouses/README.md": 1}
"""How many blocks of a page are left out, each with its reason on the page."""


def found(page: str) -> list[Command]:
    """The commands of a page that are run."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [command for block in blocks(text) if not block.not_run for command in block.commands]


def test_nothing_is_left_out_without_a_reason() -> None:
    left_out = {
        page: sum(
            bool(block.not_run) for block in blocks((REPOSITORY / page).read_text(encoding="utf-8"))
        )
        for page in PAGES
    }
    assert {page: count for page, count in left_out.items() if count} == NOT_RUN
    assert len(found("README.md")) >= 5
    assert len(found(str(EXAMPLE.relative_to(REPOSITORY) / "README.md"))) >= 10


@pytest.mark.parametrize("page", [page for page in PAGES if found(page)])
def test_a_page_shows_what_happens(page: str, tmp_path: Path) -> None:
    example = REPOSITORY / page
    is_example = example.parent.parent.name == "examples"
    folder = (
        copied(tmp_path / example.parent.name, example.parent) if is_example else tmp_path / "here"
    )
    folder.mkdir(exist_ok=True)
    shell = Shell(folder)
    try:
        for command in found(page):
            shell.run(command)
    finally:
        for settings in folder.rglob("plane.toml"):
            with ControlPlane(settings.parent) as project:
                project.stop_servers()


PATTERNS = REPOSITORY / "examples" / "07-patterns" / "features"


def lines_of(text: str) -> str:
    """The lines of a text without what is around them, each after a line break."""
    return "".join(f"\n{line.strip()}" for line in text.splitlines() if line.strip())


def test_the_code_of_the_patterns_is_tested_by_their_example() -> None:
    page = (REPOSITORY / "docs" / "patterns.md").read_text(encoding="utf-8")
    code = [lines_of(file.read_text(encoding="utf-8")) for file in sorted(PATTERNS.glob("*.py"))]
    python = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(python) == 11
    assert [block for block in python if not any(lines_of(block) in text for text in code)] == []


def test_the_refusals_of_the_patterns_are_tested_by_their_example() -> None:
    page = (REPOSITORY / "docs" / "patterns.md").read_text(encoding="utf-8")
    refusals = re.findall(r"^feature view '\w+': .*$", page, re.MULTILINE)
    tests = ast.parse((PATTERNS / "test_patterns.py").read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tests) if isinstance(node, ast.Constant)]
    # The words that a test expects of an error; shorter texts are names and times.
    complaints = [text for text in texts if isinstance(text, str) and len(text) > 40]
    assert len(refusals) == 4
    assert [one for one in refusals if not any(text in one for text in complaints)] == []


PAGE = """
```console
$ echo one; echo two  three
one
two...
$ mkdir -p a && cd a
$ basename "$PWD" \\
>   .d
a
$ seq 9
1
...
8
9
$ echo "error: no" >&2; exit 1
error: no
```

<!-- not run: it takes for ever -->

```console
$ sleep infinity
```
"""


def test_the_runner_runs_what_it_reads(tmp_path: Path) -> None:
    first, second = blocks(PAGE)
    assert (first.not_run, second.not_run) == ("", "it takes for ever")
    assert [command.line for command in first.commands] == [3, 6, 7, 10, 15]
    shell = Shell(tmp_path)
    for command in first.commands:
        shell.run(command)


@pytest.mark.parametrize(
    ("text", "shown", "complaint"),
    [
        ("echo one", ["two"], "shows other lines"),
        ("echo one; echo two", ["one"], "shows other lines"),
        ("echo one", ["one", "two"], "shows other lines"),
        ("echo one", ["...", "two"], "shows other lines"),
        ("false", [], "exit code 1"),
        ("no-such-command", ["..."], "exit code 127"),
        ("echo 'error: no' >&2", ["error: no"], "exit code 0"),
        ("echo 'error: yes' >&2; false", ["error: no"], "shows other lines"),
    ],
)
def test_the_runner_can_fail(tmp_path: Path, text: str, shown: list[str], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Shell(tmp_path).run(Command(text, 1, shown))


def test_dots_stand_for_text_and_lines_and_nothing_else() -> None:
    assert matches(["a...c", "..."], "abc  \n\n\nd\n")
    assert matches(["...", "z"], "z\n")
    assert not matches(["a.c"], "abc\n")
    assert not matches(["a...c"], "ab\nc\n")


@pytest.mark.parametrize("page", ["```bash\n$ true\n```\n", "```console\noutput first\n```\n"])
def test_blocks_that_would_not_be_run_are_refused(page: str) -> None:
    with pytest.raises(ValueError, match="line "):
        list(blocks(page))
