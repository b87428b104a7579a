"""Tests of features, for their authors, in plain pytest: a handful of rows in, the features at an
instant out; and whether what a feature service calculates is the same in training and online.

Everything goes the same way as in production (compiled, rendered, materialized, read as of an
instant), in a DuckDB that lives in memory and ends with the test. No project, no Airflow and no
server are needed.
"""

from controlplane.testing.features import Features, given
from controlplane.testing.parity import expect_parity

__all__ = ["Features", "expect_parity", "given"]
