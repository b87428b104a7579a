"""A CLI command: `plane hello`, which names the environment."""

from __future__ import annotations

from tests.price.toy import Imports, Insert, NewFile, Tests, Toy, Types, Use

TOY = Toy(
    "plane hello",
    "a CLI command",
    [
        NewFile(
            "controlplane/api/hello.py",
            '''"""Greets from an environment."""

from __future__ import annotations

from controlplane.workspace.project import Project


def greeting(project: Project) -> str:
    """See `ControlPlane.greeting`."""
    return f"hello from {project.environment.name}"
''',
        ),
        Insert(
            "controlplane/api/facade.py",
            after="    forget,\n",
            text="    hello,\n",
        ),
        Insert(
            "controlplane/api/facade.py",
            after='    def close(self) -> None:\n        """Close all connections."""\n'
            "        self.project.close()\n",
            text='''
    def greeting(self) -> str:
        """Name the environment."""
        return hello.greeting(self.project)
''',
        ),
        NewFile(
            "controlplane/cli/hello.py",
            '''"""`plane hello`."""

from __future__ import annotations

from controlplane.api.hello import greeting
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane hello"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Name the environment."""
    with opened(directory, environment) as project:
        text = greeting(project)
    if json:
        present.as_json({"greeting": text})
    else:
        present.line(text)
''',
        ),
        Insert(
            "controlplane/cli/app.py",
            after="COMMANDS = {\n",
            text='    "hello": "Name the environment.",\n',
        ),
        Insert(
            "tests/cli/test_commands.py",
            after='        "get",\n',
            text='        "hello",\n',
        ),
    ],
    [
        Tests(
            [
                "tests/cli/test_commands.py::test_these_are_the_commands",
                "tests/cli/test_commands.py::test_the_list_of_commands_repeats_the_first_line_of_each",
                "tests/cli/test_commands.py::test_python_offers_what_the_commands_do",
            ]
        ),
        Types(["controlplane"]),
        Imports(),
        Use(
            "tests/cli/test_hello.py",
            '''"""The command and the Python API greet alike."""

from controlplane import ControlPlane


def test_it_greets(shop) -> None:
    assert shop.plane("hello").out == "hello from local\\n"
    assert shop.plane("hello", "--json").json == {"greeting": "hello from local"}
    with ControlPlane(shop.folder) as plane:
        assert plane.greeting() == "hello from local"
''',
        ),
    ],
)
