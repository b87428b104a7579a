"""A real online store, and tiny projects on it."""

from tests.servers import valkey_url
from tests.shop_projects import make, shop

__all__ = ["make", "shop", "valkey_url"]
