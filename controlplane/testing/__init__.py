"""Test features in plain pytest.

`given` computes the features of a handful of rows, to compare them at any instant. `expect_parity`
checks that the calculations of a feature service return the same values in training and online.

Both use the code of production: definitions are compiled, rendered, materialized and read as of an
instant, in a DuckDB in memory that is closed after the test. They need no project, Airflow or
server.
"""

from controlplane.testing.features import Features, given
from controlplane.testing.parity import expect_parity

__all__ = ["Features", "expect_parity", "given"]
