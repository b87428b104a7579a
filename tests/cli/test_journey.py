"""A newcomer in a fresh folder, who types what the page says into a terminal of 80 columns."""

from __future__ import annotations

import re

from tests.cli.terminal import piped, shown

JOURNEY = (
    "plan",
    "deploy",
    "plan",
    "run",
    "get example --key user_id=1",
    "status",
    "dataset create first --service example --spine raw.payments --time paid_at",
    "dataset list",
    "doctor",
    "stop",
)
WHOLE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|you@example\.com|user_payments__\w+|up to date")


def test_from_nothing_to_features(tmp_path):
    code, text = shown(tmp_path, "init", "shop")
    assert code == 0
    assert (
        "Next: cd shop && plane plan && plane deploy && plane run && plane get example --key"
        " user_id=1" in text
    )
    folder, screens = tmp_path / "shop", {}
    try:
        for command in JOURNEY:
            code, screens[command] = shown(folder, *command.split())
            assert code == 0, screens[command]
    finally:
        piped(folder, "stop")
    assert "No changes: environment local is as declared." in screens["plan"]
    assert "Deployed as number 1" in screens["deploy"]
    assert re.search(r"user_payments +1 +\d,\d+ +0 +50 keys", screens["run"])
    assert re.search(
        r"user_payments__last_country +(DE|FR|NO) +present", screens["get example --key user_id=1"]
    )
    assert re.search(r"state +up to date", screens["status"])
    assert re.search(r"owner +you@example.com", screens["status"])
    assert 'created "datasets"."first__v1" with 2,057 rows' in screens[JOURNEY[6]]
    assert screens["stop"] == "stopped: Redis\n"
    for command, text in screens.items():
        for line in text.splitlines():
            # A sentence may be wrapped by the terminal; a table is not.
            assert len(line) <= 80 or line.startswith(("ok ", "  -> ", "warning ", "Next: ")), (
                command,
                line,
            )
    rows = [line for line in screens["status"].splitlines() if "Z" in line]
    assert all(WHOLE.search(row) for row in rows)


def test_init_takes_nothing_away(tmp_path):
    (tmp_path / ".gitignore").write_text("*.pyc")
    assert piped(tmp_path, "init", "--name", "shop").returncode == 0
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\n.plane/\n"
    again = piped(tmp_path, "init")
    assert (again.returncode, again.stdout) == (1, "")
    assert (
        again.stderr == "error: plane.toml exists already\n  -> edit it, or choose another folder\n"
    )
    (tmp_path / "plane.toml").unlink()
    (tmp_path / "features" / "example.py").write_text("mine = 1\n")
    again = piped(tmp_path, "init", "--name", "shop")
    assert "features/example.py exists already" in again.stderr
    assert (tmp_path / "features" / "example.py").read_text() == "mine = 1\n"
    assert not (tmp_path / "plane.toml").exists()
    bad = piped(tmp_path, "init", "--name", "my shop")
    assert "give --name: letters, digits, single underscores" in bad.stderr


def test_completion_for_bash(tmp_path):
    script = piped(
        tmp_path,
        "--show-completion",
        "bash",
        extra={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert "complete -o default -F _plane_completion plane" in script.stdout
    words = {"_PLANE_COMPLETE": "complete_bash", "COMP_WORDS": "plane d", "COMP_CWORD": "1"}
    assert piped(tmp_path, extra=words).stdout.split() == [
        "describe",
        "deploy",
        "doctor",
        "dataset",
    ]
