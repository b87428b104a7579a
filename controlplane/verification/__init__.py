"""Compares what is computed with an independent brute-force evaluation of the raw rows: `plane verify`.

`truth` makes the oracle's view of a definition and fetches the raw rows, `questions` chooses keys and instants, `told`
reads what tables, training sets and the online store say, `explain` finds the rows behind a difference, `check` puts
them together. `against` compares the tables of two environments. Nothing is written anywhere.
"""

from controlplane.verification.against import Comparison, RowDifference, Side, TableComparison, ViewComparison, compare
from controlplane.verification.check import verify
from controlplane.verification.report import Mismatch, Report, ViewReport

__all__ = [
    "Comparison",
    "Mismatch",
    "Report",
    "RowDifference",
    "Side",
    "TableComparison",
    "ViewComparison",
    "ViewReport",
    "compare",
    "verify",
]
