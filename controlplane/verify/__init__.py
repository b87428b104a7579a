"""Compares computed values with an independent evaluation of the raw rows: `plane verify`.

- `evaluated` queries the rows of a view's SQL. `expected` turns a definition into the view of the
  `oracle` and fetches its raw rows. `coverage` says which values these rows decide, and `values`
  converts them.
- `sampling` chooses entities and instants. `observed` reads the values that tables, training sets
  and the online store hold for them, and `agreement` compares the two.
- `ways` compares an interval evaluated alone and with others.
- `explain` finds the rows behind a difference, and `mismatches` fills the `report`.
- `check` puts these together. `realtime` compares the calculations of readers and the warehouse.
  `against` compares the tables of two environments.

Nothing is written anywhere.
"""

from controlplane.verify.against import (
    Comparison,
    RowDifference,
    Side,
    TableComparison,
    ViewComparison,
    compare,
)
from controlplane.verify.check import verify
from controlplane.verify.realtime import compare_service
from controlplane.verify.report import Mismatch, Report, ServiceMismatch, ServiceReport, ViewReport

__all__ = [
    "Comparison",
    "Mismatch",
    "Report",
    "RowDifference",
    "ServiceMismatch",
    "ServiceReport",
    "Side",
    "TableComparison",
    "ViewComparison",
    "ViewReport",
    "compare",
    "compare_service",
    "verify",
]
