"""The only room that prints: text for people on rich, JSON for programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.prompt import Confirm
from rich.text import Text

from controlplane.base.types import ascii_json, format_duration, format_instant
from controlplane.errors import PlaneError, Problems

if TYPE_CHECKING:
    from controlplane.base.progress import Progress as Event
    from controlplane.materialize.run import ViewRun
    from controlplane.monitor.doctor.findings import Finding
    from controlplane.monitor.status import ViewStatus
    from controlplane.server.load import Measured
    from controlplane.serving import FeatureVector
    from controlplane.state import Deployment
    from controlplane.training.datasets import Created

# Where nobody watches, a table may be as wide as it needs: a log wraps no words.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
_GAP = 2
# Terminals that are not UTF-8 lack the dots of the usual spinner.
_SPINNER = "dots" if _err.encoding.lower().startswith("utf") else "line"


def escape_what_streams_cannot_encode() -> None:
    """Have text that a terminal's encoding lacks escaped instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where a process has no such stream
            stream.reconfigure(errors="backslashreplace")


def line(text: str) -> None:
    """One line of text, as it is."""
    out.print(Text(text))


def aside(text: str) -> None:
    """One line of text on standard error, beside what another program reads."""
    _err.print(Text(text))


def as_json(value: object) -> None:
    """The value as indented JSON; what the output's encoding lacks is escaped as JSON does it."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_json(text)
    sys.stdout.write(f"{text}\n")


def error(problem: PlaneError) -> None:
    """An expected failure: every problem with its place and its remedy, on standard error."""
    problems = problem.problems if isinstance(problem, Problems) else [problem]
    for one in problems:
        where = f"{one.where}: " if one.where else ""
        _err.print(Text.assemble(("error: ", "bold red"), where, one.message))
        if one.hint:
            _err.print(Text.assemble(("  -> ", "bold"), one.hint))
    if len(problems) > 1:
        _err.print(f"{len(problems)} problems found")


def interrupted() -> None:
    """Ctrl-C."""
    _err.print(
        Text(
            "interrupted: what was under way is undone or left to the next call; run the command"
            " again"
        )
    )


def bug(problem: Exception, report: Path | None) -> None:
    """A failure that should not happen.

    `report` is the file that tells more, if one could be written.
    """
    _err.print(Text.assemble(("bug: ", "bold red"), f"{type(problem).__name__}: {problem}"))
    beside = report or "the lines below"
    _err.print(Text(f"  -> this is a bug in controlplane; please report it with {beside}"))


def confirm(question: str) -> bool:
    """Ask a yes-or-no question; no where nobody can answer."""
    return sys.stdin.isatty() and Confirm.ask(question, console=_err)


@contextmanager
def steps(what: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show the step that is under way, from the first one on: until then a question may be
    asked."""
    if quiet or not _err.is_terminal:
        yield lambda _: None
        return
    status = _err.status(what, spinner=_SPINNER)

    def show(step: str) -> None:
        status.start()
        status.update(f"{what}: {step}" if step else what)

    try:
        yield show
    finally:
        status.stop()


@contextmanager
def working(what: str, *, quiet: bool) -> Iterator[None]:
    """Show that something is under way."""
    with steps(what, quiet=quiet) as on_step:
        on_step("")
        yield


@contextmanager
def progress(*, quiet: bool, counted: str = "intervals") -> Iterator[Callable[[Event], None]]:
    """A bar for each view, counting its intervals or cases.

    Plain lines where there is no terminal.
    """
    if quiet:
        yield lambda _: None
        return
    if not _err.is_terminal:
        yield _plain_progress(counted)
        return
    columns = (
        SpinnerColumn(_SPINNER),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, TextColumn("{task.fields[step]}"), console=_err) as bars:
        tasks: dict[str, Any] = {}

        def show(event: Event) -> None:
            if event.view not in tasks:
                tasks[event.view] = bars.add_task(event.view, total=event.total, step=event.step)
            bars.update(tasks[event.view], completed=event.done, total=event.total, step=event.step)

        yield show


def _plain_progress(counted: str) -> Callable[[Event], None]:
    shown: dict[str, int] = {}

    def show(event: Event) -> None:
        if event.total and shown.get(event.view) != event.done:
            shown[event.view] = event.done
            _err.print(Text(f"{event.view}: {event.done} of {event.total} {counted}"))

    return show


def warn(warnings: Iterable[str]) -> None:
    """Each warning once, on standard error."""
    for warning in dict.fromkeys(warnings):
        _err.print(Text.assemble(("warning: ", "bold yellow"), warning))


def deployed(deployment: Deployment) -> None:
    """What a deploy did."""
    line(f"Deployed as number {deployment.id}, release {deployment.release}.")


def runs(found: Sequence[ViewRun]) -> None:
    """What a run did."""
    said = [warning for run in found for warning in run.synced.warnings]
    for run in found:
        said += [
            f"{run.view} over {done.interval}: {warning}"
            for done in run.computed
            for warning in done.warnings
        ]
    warn(said)
    if not any(run.computed or run.synced.rows for run in found):
        line("Everything is computed and in sync: nothing to do.")
        return
    rows = []
    for run in found:
        count, dropped = (
            sum(getattr(c, name) for c in run.computed) for name in ("row_count", "dropped_count")
        )
        rows.append(
            (
                run.view,
                str(len(run.computed)),
                f"{count:,}",
                f"{dropped:,}",
                f"{run.synced.written:,} keys",
            )
        )
    table(("feature view", "stretches", "rows", "dropped", "synced"), rows)


def status(found: Sequence[ViewStatus]) -> None:
    """How fresh every view is."""
    columns = (
        "feature view",
        "state",
        "computed through",
        "behind now",
        "last rows",
        "missing",
        "sync lag",
        "owner",
    )
    rows = []
    colours = {
        "up to date": "green",
        "behind": "yellow",
        "not computed": "red",
        "damaged": "red",
        "replaced": "red",
    }
    for view in found:
        rows_in = f" in {view.last_intervals:,} intervals" if (view.last_intervals or 0) > 1 else ""
        row = (
            view.view,
            Text(view.state, colours.get(view.state, "")),
            format_instant(view.frontier) if view.frontier else "",
            _short(view.freshness) if view.freshness is not None else "",
            "" if view.last_rows is None else f"{view.last_rows:,}{rows_in}",
            str(view.missing_intervals),
            _sync_lag(view),
            view.owner,
        )
        rows.append(row)
    table(columns, rows)
    for problem in dict.fromkeys(view.online_problem for view in found if view.online_problem):
        line(problem)
    for problem in dict.fromkeys(problem for view in found for problem in view.problems):
        out.print(Text.assemble(("problem: ", "bold red"), problem))


def _sync_lag(view: ViewStatus) -> str:
    if view.online is None:
        return "no online store"
    if not view.online:
        return "offline only"
    if view.online_problem:
        return "no answer"
    return "not synced" if view.sync_lag is None else _short(view.sync_lag)


def vector(service: str, keys: Mapping[str, str], found: FeatureVector) -> None:
    """One entity's features."""
    line(f"{service} {' '.join(f'{name}={value}' for name, value in keys.items())}")
    rows = []
    for name, value in found.items():
        since = found.effective_time(name)
        rows.append(
            (name, written(value), found.status(name).value, format_instant(since) if since else "")
        )
    table(("feature", "value", "status", "effective since"), rows)


def findings(found: Sequence[Finding]) -> None:
    """What the doctor found."""
    signs = {
        "ok": ("ok", "green"),
        "warning": ("warning", "yellow"),
        "error": ("error", "bold red"),
    }
    for finding in found:
        sign, colour = signs[finding.level]
        out.print(Text.assemble((f"{sign:8}", colour), f"{finding.subject}: {finding.message}"))
        if finding.hint:
            out.print(Text(f"          -> {finding.hint}"))


def datasets(found: Sequence[Created]) -> None:
    """All training sets."""
    rows = [
        (
            d.table,
            d.service,
            f"{d.row_count:,}",
            format_instant(d.created_at.replace(microsecond=0)),
            d.created_by,
        )
        for d in found
    ]
    table(("training set", "service", "rows", "created", "by"), rows)


def airflow_runs(found: Mapping[str, Mapping[str, str]]) -> None:
    """What Airflow ran."""
    rows = []
    for view, states in found.items():
        failed = [partition for partition, state in states.items() if state != "success"]
        rows.append((view, str(len(states)), str(len(states) - len(failed)), ", ".join(failed)))
    table(("feature view", "runs", "succeeded", "failed"), rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """A table; where the terminal is too narrow for it, one row below the other, so that no word is
    broken."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [
        max(map(cell_len, column))
        for column in zip(columns, *([c.plain for c in row] for row in cells), strict=True)
    ]
    if sum(widths) + _GAP * (len(widths) - 1) <= out.width:
        header = [Text(column, "bold") for column in columns]
        lines(_aligned(row, widths) for row in [header, *cells])
        return
    width = max(map(len, columns))
    for row in cells:
        lines(
            Text.assemble((f"{column:{width}}", "bold"), "  ", cell)
            for column, cell in zip(columns, row, strict=True)
        )
        line("")


def _aligned(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    """One line of a table."""
    return Text(" " * _GAP).join(
        Text.assemble(cell, " " * (width - cell.cell_len))
        for cell, width in zip(cells, widths, strict=True)
    )


def lines(texts: Iterable[Text]) -> None:
    """Lines as they are, all at once: each call of rich takes longer than making the line does."""
    lines = list(texts)
    if lines and out.is_terminal:
        out.print(Text("\n").join(lines))
    elif lines:
        out.file.write("".join(f"{text.plain}\n" for text in lines))
        out.file.flush()


def written(found: object) -> str:
    """A value as a line shows it."""
    if isinstance(found, list):
        return f"[{', '.join(map(written, found))}]"
    return (
        "null"
        if found is None
        else format_instant(found)
        if isinstance(found, datetime)
        else str(found)
    )


def _short(duration: timedelta) -> str:
    """A duration to the second, from minutes on; its microseconds below."""
    whole = timedelta(seconds=int(duration.total_seconds()))
    return format_duration(whole if whole >= timedelta(seconds=1) else duration)


def load(found: Measured) -> None:
    """What a load test found, and how its times are spread."""
    figures = found.to_dict()
    per_second = found.codes[200] / found.seconds
    line(
        f"{figures['requests']:,} requests in {found.seconds:.1f} s: {per_second:,.0f} answers a"
        " second"
    )
    line(
        "  ".join(
            f"{name.removesuffix('_ms')} {figures[name]:.2f} ms"
            for name in ("p50_ms", "p90_ms", "p99_ms")
        )
    )
    if set(found.codes) != {200}:
        line(
            "statuses: "
            + ", ".join(f"{code}: {count:,}" for code, count in sorted(found.codes.items()))
        )
    counts = found.histogram()
    most = max(counts.values())
    for limit, count in counts.items():
        line(f"<= {limit:>7g} ms  {'#' * -(-count * 50 // most):<50} {count:,}")
