"""Writes the golden texts anew: `python -m tests.regenerate`, and then read what git says has
changed."""

from __future__ import annotations

from tests.compile.golden import FOLDER, texts
from tests.compile.projects import BROKEN, broken_names, complaint
from tests.contracts.contracts import GENERATED
from tests.contracts.contracts import texts as schema_texts


def main() -> None:
    """Write every golden text of the registry, of the renderer and of schemas."""
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    for name, text in schema_texts().items():
        (GENERATED / name).write_text(text, encoding="utf-8")
    for name in broken_names():
        (BROKEN / f"{name}.txt").write_text(f"{complaint(name)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
