"""Print the results of verifications, online maintenance and erasures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from controlplane.base.types import format_instant
from controlplane.cli.present import line, out, table
from controlplane.cli.texts import written

if TYPE_CHECKING:
    from controlplane.api.forget import Erasure
    from controlplane.api.online.clean import Cleaned
    from controlplane.api.online.take_over import Taken
    from controlplane.api.online.verify import Verified
    from controlplane.api.online.versions import Version
    from controlplane.verify import (
        Comparison,
        Mismatch,
        Report,
        RowDifference,
        ServiceMismatch,
        TableComparison,
    )

# Enough to see a pattern; --json has more.
_SHOWN = 5


def verified(report: Report) -> None:
    """Print what a verification compared, and each difference with the rows that explain it."""
    rows = []
    for view in report.views:
        counts = ", ".join(f"{reading} {count:,}" for reading, count in view.compared.items())
        rows.append(
            (view.view, f"{view.cases:,}", counts or "nothing", _counted(view.mismatch_count))
        )
    table(("feature view", "cases", "compared values", "mismatches"), rows)
    for view in report.views:
        if view.refused:
            out.print(Text.assemble(("not compared: ", "bold red"), view.refused))
        for note in view.notes:
            line(f"{view.view}: {note}")
        for mismatch in view.mismatches[:_SHOWN]:
            _mismatch(mismatch)
        if (more := view.mismatch_count - _SHOWN) > 0:
            line(
                f"{view.view}: {more:,} more mismatches; --json lists the first"
                f" {len(view.mismatches)}"
            )
    if report.services:
        shown = [
            (
                s.service,
                f"{s.cases:,}",
                f"{s.compared:,}",
                f"{s.refused:,}",
                _counted(s.mismatch_count),
            )
            for s in report.services
        ]
        table(("feature service", "cases", "calculated values", "refused", "mismatches"), shown)
    for service in report.services:
        for service_mismatch in service.mismatches[:_SHOWN]:
            _differs(service_mismatch)
        if (more := service.mismatch_count - _SHOWN) > 0:
            line(
                f"{service.service}: {more:,} more mismatches; --json lists the first"
                f" {len(service.mismatches)}"
            )
    share = 100 * (1 - report.nulls / max(report.comparisons, 1))
    line(
        f"{report.cases:,} cases, {report.comparisons:,} comparisons ({share:.0f}% non-null), "
        f"{report.mismatches:,} mismatches, seed {report.seed}"
    )


def _counted(mismatches: int) -> Text:
    return Text(f"{mismatches:,}", "red" if mismatches else "green")


def _differs(mismatch: ServiceMismatch) -> None:
    values = (
        f": {written(mismatch.online)} at a read, {written(mismatch.training)} in training sets"
    )
    out.print(
        Text.assemble(
            ("mismatch: ", "bold red"), f"{mismatch.feature} of {mismatch.service}", values
        )
    )
    line(
        f"  from {', '.join(f'{name}={written(value)}' for name, value in mismatch.given.items())}"
    )


def _mismatch(mismatch: Mismatch) -> None:
    keys = ", ".join(f"{name}={written(value)}" for name, value in mismatch.keys.items())
    if mismatch.of_ways:
        _ways(mismatch, keys)
        return
    subject = f"{mismatch.view}__{mismatch.feature} of {keys} at {format_instant(mismatch.at)}"
    observed, expected = written(mismatch.told), written(mismatch.expected)
    values = f": {observed} in the {mismatch.place}, should be {expected}"
    out.print(Text.assemble(("mismatch: ", "bold red"), subject, values))
    count = f"{mismatch.row_count:,} raw rows"
    shown = (
        f", the last {len(mismatch.rows)} of them"
        if len(mismatch.rows) < mismatch.row_count
        else ""
    )
    line(f"  from {count}{shown}{':' if mismatch.rows else ''}")
    for row in mismatch.rows:
        line(f"    {', '.join(f'{name}={written(value)}' for name, value in row.items())}")
    out.print(Text.assemble(("  -> ", "bold"), mismatch.hint))


def _ways(mismatch: Mismatch, keys: str) -> None:
    """Print an interval whose rows depend on which intervals are computed with it."""
    start = format_instant(mismatch.at)
    subject = f"ways of computing {mismatch.view}: {keys} in the interval from {start}"
    out.print(
        Text.assemble(("mismatch: ", "bold red"), f"{subject}: {mismatch.row_count:,} rows differ")
    )
    for words, rows in (
        ("computed alone", mismatch.expected),
        ("computed with others", mismatch.told),
    ):
        line(f"  the interval {words} has{':' if rows else ' none of them'}")
        for row in rows[:_SHOWN]:
            line(f"    {', '.join(f'{name}={written(value)}' for name, value in row.items())}")
    out.print(Text.assemble(("  -> ", "bold"), mismatch.hint))


def compared(comparison: Comparison) -> None:
    """Print a comparison with another environment, with the first differences of each table."""
    rows: list[tuple[str | Text, ...]] = []
    for view in comparison.views:
        through = format_instant(view.through) if view.through else ""
        for part in view.tables:
            counts = (part.differing, part.only_here, part.only_there)
            totals = [Text(f"{count:,}", "red" if count else "green") for count in counts]
            rows.append((view.view, part.table, through, f"{part.compared:,}", *totals))
    if rows:
        only = (f"only in {comparison.environment}", f"only in {comparison.against}")
        table(("feature view", "table", "through", "compared rows", "differing", *only), rows)
    for view in comparison.views:
        for note in view.notes:
            line(f"{view.view}: {note}")
        if view.problem:
            out.print(Text.assemble(("not compared: ", "bold red"), f"{view.view}: {view.problem}"))
        for part in view.tables:
            _differences(comparison, view.view, part)
    verdict = "equal" if comparison.equal else "not equal"
    line(f"{comparison.environment} and {comparison.against} are {verdict}")


def _differences(comparison: Comparison, view: str, part: TableComparison) -> None:
    for text in part.columns:
        out.print(
            Text.assemble(("difference: ", "bold red"), f"{view}, {part.table}: column {text}")
        )
    for difference in part.differences[:_SHOWN]:
        out.print(
            Text.assemble(
                ("difference: ", "bold red"),
                f"{view}, {part.table}, {_difference(comparison, difference)}",
            )
        )
    count = part.differing + part.only_here + part.only_there
    if (more := count - _SHOWN) > 0:
        line(
            f"{view}, {part.table}: {more:,} more differing rows; --json lists the first"
            f" {len(part.differences)}"
        )


def _difference(comparison: Comparison, difference: RowDifference) -> str:
    keys = ", ".join(f"{name}={written(part)}" for name, part in difference.keys.items())
    if difference.only_in:
        return f"{keys} from {format_instant(difference.valid_from)}: only in {difference.only_in}"
    values = "; ".join(
        f"{name} {written(ours)} in {comparison.environment},"
        f" {written(theirs)} in {comparison.against}"
        for name, (ours, theirs) in difference.values.items()
    )
    return f"{keys} from {format_instant(difference.valid_from)}: {values}"


def reconciled(verified: Verified) -> None:
    """Print the comparison of each version in the online store with the warehouse."""
    if not verified.versions:
        line("Nothing to compare: no version is served or was synced.")
        return
    rows: list[tuple[str | Text, ...]] = []
    for version in verified.versions:
        bad = [
            Text(f"{n:,}", "red" if n else "green")
            for n in (version.missing, version.wrong, version.expiry, version.extra)
        ]
        counts = [f"{n:,}" for n in (version.rows, version.right, version.newer, version.pending)]
        rows.append(
            (
                version.view,
                version.fingerprint,
                "served" if version.served else "",
                *counts,
                *bad,
                f"{version.healed:,}",
            )
        )
    counted = (
        "rows",
        "right",
        "newer",
        "not synced",
        "missing",
        "wrong",
        "wrong expiry",
        "extra",
        "healed",
    )
    table(("feature view", "version", "", *counted), rows)
    line(
        f"Keys that differ from the warehouse: {verified.unhealed:,}"
        if verified.unhealed
        else "Redis agrees with the warehouse."
    )


def online_versions(versions: Sequence[Version]) -> None:
    """Print the versions that have values in the online store."""
    rows = []
    for version in versions:
        states = [
            name
            for name, true in (("served", version.served), ("deployed", version.current))
            if true
        ]
        synced = (
            format_instant(version.synced_at.replace(microsecond=0))
            if version.synced_at
            else "never"
        )
        rows.append(
            (
                version.view,
                version.fingerprint,
                str(version.deployment),
                ", ".join(states) or "kept",
                synced,
            )
        )
    if rows:
        table(("feature view", "version", "deployment", "state", "last sync"), rows)
    else:
        line("The online store is empty: it has no version of a feature view.")


def taken_over(taken: Taken) -> None:
    """Print what a take-over wrote of each version."""
    line(
        f"The values were written by {taken.before}."
        if taken.before
        else "The values had no recorded owner."
    )
    rows = [
        (version.view, version.fingerprint, f"{version.written:,}", f"{version.unhealed:,}")
        for version in taken.versions
    ]
    if rows:
        table(("feature view", "version", "keys written", "still different"), rows)
    if taken.unhealed:
        line(
            f"{taken.unhealed:,} keys were written by another sync meanwhile: run this command"
            " again."
        )


def cleaned(removals: Sequence[Cleaned]) -> None:
    """Print the versions that were removed, or that would be."""
    for removal in removals:
        keys = "would be removed" if removal.keys is None else f"removed, {removal.keys:,} keys"
        line(f"{removal.version.view} {removal.version.fingerprint}: {keys}")
    if not removals:
        line("Nothing to remove: every version is deployed, served or kept for a rollback.")


def erasure(erasure: Erasure) -> None:
    """Print what was erased, or would be."""
    rows = [
        (erased.table, f"{erased.rows:,}", f"{erased.left:,}")
        for erased in erasure.tables
        if erased.rows or erased.left
    ]
    if rows:
        table(("table", "rows", "left"), rows)
    else:
        line(f"None of {len(erasure.tables)} tables has a row of this entity.")
    if erasure.at is not None:
        line(f"Online: tombstones under {erasure.online:,} keys, which expire after a week.")
        if erasure.standing:
            line(
                f"Online: {erasure.standing:,} keys still have a value, which a sync wrote"
                " meanwhile: run this command again."
            )
    for name, count in erasure.sources.items():
        line(
            f"{name} still has {count:,} rows: remove them there, or the next run that reads them"
            " computes the features again."
        )
