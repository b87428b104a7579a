"""The server that records are kept in."""

from tests.servers import valkey_url

__all__ = ["valkey_url"]
