"""Snowflake, over versions 4 and 5 of its driver."""

from connectors.snowflake.signin import connect

__all__ = ["connect"]
