"""The server that readers read from."""

from tests.servers import valkey_url

__all__ = ["valkey_url"]
