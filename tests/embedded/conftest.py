"""What tests of the embedded servers share."""

from __future__ import annotations

import pytest

from tests.servers import valkey_url

__all__ = ["valkey_url"]


def pytest_configure(config: pytest.Config) -> None:
    """Register this folder's marker."""
    config.addinivalue_line("markers", "airflow: starts a real Airflow, which takes about a minute")
