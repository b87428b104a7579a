"""Redis and Valkey (6.2 or newer): a single server, Sentinels, or a Cluster."""

from connectors.redis.store import connect

__all__ = ["connect"]
