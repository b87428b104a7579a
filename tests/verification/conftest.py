"""Projects to verify, and the server that their values go to."""

from tests.servers import valkey_url
from tests.shop_projects import make, shop

__all__ = ["make", "shop", "valkey_url"]
