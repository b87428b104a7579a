"""A service with every type, and the files that were made of its contract."""

from __future__ import annotations

from pathlib import Path

from controlplane.manifest.specs import Manifest
from controlplane.serving import contracts
from tests.engine import cases
from tests.engine.rig import Rig, compiled
from tests.serving.test_realtime import CALCULATED
from tests.serving.test_requests import EVERY_TYPE, subject

GENERATED = Path(__file__).parent / "generated"
FILES = {
    "all.json": "json-schema",
    "all.proto": "proto",
    "all_client.py": "python",
    "all.txt": "arrow",
}


def every_type() -> Manifest:
    """The manifest of a service that takes and gives values of every type."""
    with Rig(subject, cases.COLUMNS) as rig:
        return compiled([subject], rig.warehouse, CALCULATED, EVERY_TYPE)


def texts() -> dict[str, str]:
    """The files' texts by name."""
    contract = contracts.contract(every_type(), "all")
    return {name: contracts.text(contract, language) for name, language in FILES.items()}
