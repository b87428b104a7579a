"""Tests of feature views, for their authors: a handful of rows in, the features at an instant out, in plain pytest.

The view goes the same way as in production (compiled, rendered, materialized, read as of an instant), in a DuckDB that
lives in memory and ends with the test. No project, no Airflow and no server are needed.
"""

from controlplane.testing.features import Features, given

__all__ = ["Features", "given"]
