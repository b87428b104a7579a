"""A Snowflake account on this machine, for tests: the vendor's protocol over HTTP, the vendor's SQL
over DuckDB.

It runs what our connector and our SQL use, as Snowflake would, and refuses everything else with one
of Snowflake's
errors: no statement is taken and not done. What is taken and not enforced (grants, comments, tags)
is recorded.
"""

from tests.endpoints.snowflake.server import SnowflakeEndpoint

__all__ = ["SnowflakeEndpoint"]
