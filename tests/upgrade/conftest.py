"""A team's warehouse, on every engine."""

from tests.control.conftest import databricks, make, shop, team, valkey_url

__all__ = ["databricks", "make", "shop", "team", "valkey_url"]
