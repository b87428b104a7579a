"""What every test shares: the repository's folder, and property tests that take the time they need."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A slow machine is not a failure, and a run must be repeatable: examples come from the test's own name.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `pyproject.toml`."""
    return Path(__file__).resolve().parent.parent
