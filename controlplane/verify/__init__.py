"""Compares what is computed with an independent brute-force evaluation of the raw rows: `plane
verify`.

`evaluated` says how a view's SQL is evaluated, `truth` makes the oracle's view of a definition and
fetches the raw rows, `coverage` says which values they decide, and `values` reads them. `questions`
chooses keys and instants, `told` reads what tables, training sets and the online store say, `ways`
compares an interval evaluated alone and with others, `explain` finds the rows behind a difference,
`check` puts them together. `realtime` compares what readers calculate with the warehouse, `against`
the tables of two environments. Nothing is written anywhere.
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
