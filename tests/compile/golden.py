"""The small project of `tests/golden`, compiled and rendered.

Run as a program it prints the digest of all texts.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from controlplane.manifest import stored as manifests
from controlplane.release import program
from controlplane.sql.views import FILES, render_view
from tests.compile.projects import compiled

FOLDER = Path(__file__).parent.parent / "golden"


def texts() -> dict[str, str]:
    """Every text that is rendered from the project, by the name of the file that holds it."""
    manifest = compiled(FOLDER, ["shop.py"])
    found = {"manifest.json": manifests.to_json(manifest) + "\n"}
    for view in manifest.views:
        sql = render_view(manifest, view)
        found |= {f"{view.name}.{name}.sql": str(getattr(sql, name)) for name in FILES}
        found[f"{view.name}.json"] = program.to_json(program.build(manifest, view))
    return found


if __name__ == "__main__":
    digest = hashlib.sha256(repr(sorted(texts().items())).encode()).hexdigest()
    sys.stdout.write(digest)
