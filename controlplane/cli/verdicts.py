"""Prints what verifications found: against the raw rows, another environment, and in the online
store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from controlplane.base.types import format_instant
from controlplane.cli.present import line, out, table, written

if TYPE_CHECKING:
    from controlplane.api.forget import Erasure
    from controlplane.api.online import Cleaned, Taken, Verified, Version
    from controlplane.verify import (
        Comparison,
        Mismatch,
        Report,
        RowDifference,
        ServiceMismatch,
        TableComparison,
    )

_SHOWN = 5


def verified(found: Report) -> None:
    """What a verification compared, and every difference with the rows that explain it."""
    rows = []
    for view in found.views:
        places = ", ".join(f"{place} {count:,}" for place, count in view.compared.items())
        rows.append(
            (view.view, f"{view.cases:,}", places or "nothing", _counted(view.mismatch_count))
        )
    table(("feature view", "cases", "compared values", "mismatches"), rows)
    for view in found.views:
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
    if found.services:
        shown = [
            (
                s.service,
                f"{s.cases:,}",
                f"{s.compared:,}",
                f"{s.refused:,}",
                _counted(s.mismatch_count),
            )
            for s in found.services
        ]
        table(("feature service", "cases", "calculated values", "refused", "mismatches"), shown)
    for service in found.services:
        for one in service.mismatches[:_SHOWN]:
            _differs(one)
        if (more := service.mismatch_count - _SHOWN) > 0:
            line(
                f"{service.service}: {more:,} more mismatches; --json lists the first"
                f" {len(service.mismatches)}"
            )
    share = 100 * (1 - found.nulls / max(found.comparisons, 1))
    line(
        f"{found.cases:,} cases, {found.comparisons:,} comparisons ({share:.0f}% non-null), "
        f"{found.mismatches:,} mismatches, seed {found.seed}"
    )


def _counted(mismatches: int) -> Text:
    return Text(f"{mismatches:,}", "red" if mismatches else "green")


def _differs(found: ServiceMismatch) -> None:
    told = f": {written(found.online)} at a read, {written(found.training)} in training sets"
    out.print(
        Text.assemble(("mismatch: ", "bold red"), f"{found.feature} of {found.service}", told)
    )
    line(f"  from {', '.join(f'{name}={written(value)}' for name, value in found.given.items())}")


def _mismatch(found: Mismatch) -> None:
    keys = ", ".join(f"{name}={written(value)}" for name, value in found.keys.items())
    if found.of_ways:
        _ways(found, keys)
        return
    what = f"{found.view}__{found.feature} of {keys} at {format_instant(found.at)}"
    told = f": {written(found.told)} in the {found.place}, should be {written(found.expected)}"
    out.print(Text.assemble(("mismatch: ", "bold red"), what, told))
    count = f"{found.row_count:,} raw rows"
    shown = f", the last {len(found.rows)} of them" if len(found.rows) < found.row_count else ""
    line(f"  from {count}{shown}{':' if found.rows else ''}")
    for row in found.rows:
        line(f"    {', '.join(f'{name}={written(value)}' for name, value in row.items())}")
    out.print(Text.assemble(("  -> ", "bold"), found.hint))


def _ways(found: Mismatch, keys: str) -> None:
    """An interval whose rows depend on what else is computed with it."""
    what = f"ways of computing {found.view}: {keys} in the interval from {format_instant(found.at)}"
    out.print(Text.assemble(("mismatch: ", "bold red"), f"{what}: {found.row_count:,} rows differ"))
    for words, rows in (("alone", found.expected), ("with other intervals", found.told)):
        line(f"  the interval {words} has{':' if rows else ' none of them'}")
        for row in rows[:_SHOWN]:
            line(f"    {', '.join(f'{name}={written(value)}' for name, value in row.items())}")
    out.print(Text.assemble(("  -> ", "bold"), found.hint))


def compared(found: Comparison) -> None:
    """What a comparison with another environment compared, and the first differences of each
    table."""
    rows: list[tuple[str | Text, ...]] = []
    for view in found.views:
        through = format_instant(view.through) if view.through else ""
        for part in view.tables:
            counts = (part.differing, part.only_here, part.only_there)
            told = [Text(f"{count:,}", "red" if count else "green") for count in counts]
            rows.append((view.view, part.table, through, f"{part.compared:,}", *told))
    if rows:
        only = (f"only in {found.environment}", f"only in {found.against}")
        table(("feature view", "table", "through", "compared rows", "differing", *only), rows)
    for view in found.views:
        for note in view.notes:
            line(f"{view.view}: {note}")
        if view.problem:
            out.print(Text.assemble(("not compared: ", "bold red"), f"{view.view}: {view.problem}"))
        for part in view.tables:
            _differences(found, view.view, part)
    line(f"{found.environment} and {found.against} are {'equal' if found.equal else 'not equal'}")


def _differences(found: Comparison, view: str, part: TableComparison) -> None:
    for text in part.columns:
        out.print(
            Text.assemble(("difference: ", "bold red"), f"{view}, {part.table}: column {text}")
        )
    for one in part.differences[:_SHOWN]:
        out.print(
            Text.assemble(
                ("difference: ", "bold red"), f"{view}, {part.table}, {_difference(found, one)}"
            )
        )
    count = part.differing + part.only_here + part.only_there
    if (more := count - _SHOWN) > 0:
        line(
            f"{view}, {part.table}: {more:,} more differing rows; --json lists the first"
            f" {len(part.differences)}"
        )


def _difference(found: Comparison, one: RowDifference) -> str:
    keys = ", ".join(f"{name}={written(part)}" for name, part in one.keys.items())
    if one.only_in:
        return f"{keys} from {format_instant(one.valid_from)}: only in {one.only_in}"
    told = "; ".join(
        f"{name} {written(here)} in {found.environment}, {written(there)} in {found.against}"
        for name, (here, there) in one.values.items()
    )
    return f"{keys} from {format_instant(one.valid_from)}: {told}"


def reconciled(found: Verified) -> None:
    """What a comparison of the online store found of each version."""
    if not found.versions:
        line("No version is served or was synced: nothing to compare.")
        return
    rows: list[tuple[str | Text, ...]] = []
    for one in found.versions:
        bad = [
            Text(f"{n:,}", "red" if n else "green")
            for n in (one.missing, one.wrong, one.expiry, one.extra)
        ]
        counts = [f"{n:,}" for n in (one.rows, one.right, one.newer, one.pending)]
        rows.append(
            (
                one.view,
                one.fingerprint,
                "served" if one.served else "",
                *counts,
                *bad,
                f"{one.healed:,}",
            )
        )
    kinds = (
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
    table(("feature view", "version", "", *kinds), rows)
    line(
        f"Keys that are not as the warehouse says: {found.unhealed:,}"
        if found.unhealed
        else "Redis is in step."
    )


def online_versions(found: Sequence[Version]) -> None:
    """The versions that the online store holds."""
    rows = []
    for one in found:
        states = [
            name for name, true in (("served", one.served), ("deployed", one.current)) if true
        ]
        synced = format_instant(one.synced_at.replace(microsecond=0)) if one.synced_at else "never"
        rows.append(
            (one.view, one.fingerprint, str(one.deployment), ", ".join(states) or "kept", synced)
        )
    if rows:
        table(("feature view", "version", "deployment", "is", "in step since"), rows)
    else:
        line("The online store holds no version.")


def taken_over(found: Taken) -> None:
    """What a take-over wrote of each version."""
    line(
        f"The values were those of {found.before}." if found.before else "The values were nobody's."
    )
    rows = [
        (one.view, one.fingerprint, f"{one.written:,}", f"{one.unhealed:,}")
        for one in found.versions
    ]
    if rows:
        table(("feature view", "version", "keys written", "not as they should be"), rows)
    if found.unhealed:
        line(f"{found.unhealed:,} keys were written by another sync meanwhile: run it again.")


def cleaned(found: Sequence[Cleaned]) -> None:
    """The versions that were removed, or would be."""
    for one in found:
        keys = "would be removed" if one.keys is None else f"removed, {one.keys:,} keys"
        line(f"{one.version.view} {one.version.fingerprint}: {keys}")
    if not found:
        line("Nothing to remove: every version is deployed, served or kept for a rollback.")


def erasure(found: Erasure) -> None:
    """What was erased, or would be."""
    rows = [
        (one.table, f"{one.rows:,}", f"{one.left:,}")
        for one in found.tables
        if one.rows or one.left
    ]
    if rows:
        table(("table", "rows", "left"), rows)
    else:
        line(f"None of {len(found.tables)} tables holds a row of it.")
    if found.at is not None:
        line(f"Online: tombstones under {found.online:,} keys, which go after a week.")
        if found.standing:
            line(
                f"Online: {found.standing:,} keys still hold a value, which a sync wrote meanwhile:"
                " run it again."
            )
    for name, count in found.sources.items():
        line(
            f"{name} still holds {count:,} rows: remove them there, or a run that reads them"
            " computes features again."
        )
