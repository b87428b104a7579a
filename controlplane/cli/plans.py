"""Print plans as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich import filesize
from rich.text import Text

from controlplane.base.types import format_instant
from controlplane.cli.present import line, lines, out, table, warn

if TYPE_CHECKING:
    from controlplane.plan.actions import Action, Change
    from controlplane.plan.forecast import Cost, Forecast
    from controlplane.plan.plan import Plan
    from controlplane.plan.steps import Step

# A view with many gaps would fill the screen; `--json` has all of them.
_SHOWN_RANGES = 3


def show(plan: Plan) -> None:
    """Print what changes, and what will be computed."""
    warn(plan.warnings)
    if plan.conflict:
        out.print(Text.assemble(("conflict: ", "bold red"), plan.conflict))
        line(f"  -> {plan.remedy}")
    if plan.empty:
        line(f"No changes: environment {plan.environment} is as declared.")
    lines(text for action in plan.actions for text in _action(action))
    _forecasts(plan.forecasts)


def show_sql(steps: Iterable[Step]) -> None:
    """Print the statements of the deploy's steps as SQL that can be run by hand."""
    # lazy: it loads the warehouses' dialects, which --help does without
    from controlplane.plan.steps import sql

    lines(Text(text) for text in sql(steps))


_SIGNS = {
    "create": ("+", "green"),
    "redefine": ("~", "yellow"),
    "update": ("~", "cyan"),
    "drop": ("-", "red"),
    "repair": ("!", "red"),
}


def _action(action: Action) -> Iterator[Text]:
    # The tag in JSON is the name of an action: `create_view`, `drop_service`, `rerender`.
    tag = str(action.__struct_config__.tag)
    verb, _, noun = tag.partition("_")
    sign, colour = _SIGNS.get(verb, ("~", "cyan"))
    name = getattr(action, "view", "") or getattr(action, "service", "")
    title = {"view": f"feature view {name}", "service": f"feature service {name}"}.get(
        noun, "release"
    )
    if verb == "repair":
        title = f"feature view {name}" if name else "control tables and release"
    yield Text.assemble((f"{sign} {title}", colour), f"  {_consequence(tag, action)}")
    for feature in getattr(action, "features", ()):
        yield Text(f"    + {feature}")
    for damage in getattr(action, "damages", ()):
        yield Text(f"    {damage}")
    for change in getattr(action, "changes", ()):
        yield Text(f"    {_change(change)}")


def _consequence(tag: str, action: Action) -> str:
    return {
        "create_view": "new: its tables are created",
        "redefine_view": (
            "its values change: a new version is computed; the old version is read until it is"
            " complete"
        ),
        "update_view": "its values do not change",
        "drop_view": "its DAG and public views are removed; its tables stay",
        "create_service": "new",
        "update_service": "",
        "drop_service": "removed",
        "repair": (
            "missing, altered or of an earlier version: the deploy repairs it"
            + (
                ", and its intervals are computed again"
                if getattr(action, "recomputed", False)
                else ""
            )
        ),
        "rerender": (
            f"the release's files change, the definitions do not ({getattr(action, 'after', '')})"
        ),
    }[tag]


def _change(change: Change) -> str:
    if not change.before:
        return f"+ {change.name}: {change.after}"
    return (
        f"- {change.name}: {change.before}"
        if not change.after
        else f"{change.name}: {change.before} -> {change.after}"
    )


def _forecasts(forecasts: Sequence[Forecast]) -> None:
    if not forecasts:
        return
    rows = []
    for forecast in forecasts:
        ranges = [f"{format_instant(s.start)} .. {format_instant(s.end)}" for s in forecast.missing]
        more = len(ranges) - _SHOWN_RANGES
        shown = ", ".join(ranges[:_SHOWN_RANGES]) + (f" and {more} more" if more > 0 else "")
        text = f"{forecast.intervals} intervals: {shown}" if ranges else "nothing"
        times = (format_instant(forecast.event), format_instant(forecast.visible_at))
        rows.append((forecast.view, text, *times, ", ".join(map(_cost, forecast.costs))))
    columns = ["feature view", "to compute", "an event at", "is visible at", "a run"]
    # An embedded warehouse gives no estimates: before the first runs, the last column is empty.
    known = len(columns) if any(forecast.costs for forecast in forecasts) else -1
    table(columns[:known], [row[:known] for row in rows])
    _computations(forecasts)


def _computations(forecasts: Sequence[Forecast]) -> None:
    """Print how each view's SQL is computed, and which construct requires that."""
    rows = []
    for forecast in forecasts:
        if (how := forecast.computation) is not None:
            because = f"{how.construct} ({how.place})" if how.construct else ""
            rows.append((forecast.view, how.way, f"{how.statements:,}", because))
    line("")
    columns = ["feature view", "its SQL is computed", "statements"]
    columns += ["because of"] if any(row[-1] for row in rows) else []
    table(columns, [row[: len(columns)] for row in rows])


def _cost(cost: Cost) -> str:
    """Return `10 to 14 rows in earlier runs`, `about 400 rows` or `about 2.1 MB read`."""
    if cost.unit == "bytes":
        return f"about {filesize.decimal(cost.high)} read"
    if cost.basis == "estimate":
        return f"about {cost.high:,} rows"
    span = f"{cost.low:,}" if cost.low == cost.high else f"{cost.low:,} to {cost.high:,}"
    return f"{span} rows in earlier runs"
