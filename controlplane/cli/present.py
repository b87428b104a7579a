"""Print the results of commands: text for people, by rich, or JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
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
from controlplane.cli.texts import printable, written
from controlplane.errors import PlaneError, Problems

if TYPE_CHECKING:
    from controlplane.base.progress import Progress as Event
    from controlplane.materialize.run import ViewRun
    from controlplane.monitor.doctor.findings import Finding
    from controlplane.monitor.status import ViewStatus
    from controlplane.server.load import Measured
    from controlplane.serving import FeatureVector
    from controlplane.state import Deployment
    from controlplane.training.listed import Created

# Into a file or pipe, rich would assume 80 columns and break the words of wide tables.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
_GAP = 2
# The dots of the default spinner are not in the encodings of terminals without UTF-8.
_SPINNER = "dots" if _err.encoding.lower().startswith("utf") else "line"


def line(text: str) -> None:
    """Print a line of text, or several, without rich's markup."""
    out.print(Text(printable(text, kept="\n")))


def to_stderr(text: str) -> None:
    """Print one line on standard error, so that standard output can be piped."""
    _err.print(Text(printable(text, kept="\n")))


def as_json(value: object) -> None:
    """Print a value as indented JSON; escape characters that the output's encoding lacks."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_json(text)
    sys.stdout.write(f"{text}\n")


def error(failure: PlaneError) -> None:
    """Print an expected failure: each problem with its location and its hint, on standard error."""
    problems = failure.problems if isinstance(failure, Problems) else [failure]
    for problem in problems:
        where = f"{problem.where}: " if problem.where else ""
        message, hint = (printable(text, kept="\n") for text in (problem.message, problem.hint))
        _err.print(Text.assemble(("error: ", "bold red"), where, message))
        if hint:
            _err.print(Text.assemble(("  -> ", "bold"), hint))
    if len(problems) > 1:
        _err.print(f"{len(problems)} problems found")


def interrupted() -> None:
    """Print what Ctrl-C means for the command's work."""
    _err.print(
        Text(
            "interrupted: unfinished work was rolled back or is left to the next call; run the"
            " command again"
        )
    )


def bug(problem: BaseException, report: Path | None) -> None:
    """Print a failure that is a bug.

    `report` is the file with the traceback; None if it could not be written.
    """
    _err.print(Text.assemble(("bug: ", "bold red"), f"{type(problem).__name__}: {problem}"))
    traceback = report or "the lines below"
    _err.print(Text(f"  -> this is a bug in controlplane; please report it with {traceback}"))


def confirm(question: str) -> bool:
    """Ask a yes-or-no question; without a terminal the answer is no."""
    # On standard error, so that standard output can be piped.
    return sys.stdin.isatty() and Confirm.ask(question, console=_err)


@contextmanager
def steps(title: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show the current step, from the first step on: before it, a question may be asked."""
    if quiet or not _err.is_terminal:
        yield lambda _: None
        return
    status = _err.status(title, spinner=_SPINNER)

    def show(step: str) -> None:
        status.start()
        status.update(f"{title}: {step}" if step else title)

    try:
        yield show
    finally:
        status.stop()


@contextmanager
def working(title: str, *, quiet: bool) -> Iterator[None]:
    """Show that a command works, without steps."""
    with steps(title, quiet=quiet) as on_step:
        on_step("")
        yield


@contextmanager
def progress(*, quiet: bool, counted: str = "intervals") -> Iterator[Callable[[Event], None]]:
    """Show a bar for each view that counts its intervals or cases.

    Without a terminal, print plain lines.
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
    # Events of one interval differ in their step only: a log shows each count once.
    shown: dict[str, int] = {}

    def show(event: Event) -> None:
        if event.total and shown.get(event.view) != event.done:
            shown[event.view] = event.done
            _err.print(Text(f"{event.view}: {event.done} of {event.total} {counted}"))

    return show


def warn(warnings: Iterable[str]) -> None:
    """Print each different warning once, on standard error."""
    for warning in dict.fromkeys(warnings):
        text = printable(warning, kept="\n")
        _err.print(Text.assemble(("warning: ", "bold yellow"), text))


def deployed(deployment: Deployment) -> None:
    """Print what a deploy did."""
    line(f"Deployed as number {deployment.id}, release {deployment.release}.")


def runs(view_runs: Sequence[ViewRun]) -> None:
    """Print what a run did."""
    warnings = [warning for run in view_runs for warning in run.synced.warnings]
    for run in view_runs:
        warnings += [
            f"{run.view} over {done.interval}: {warning}"
            for done in run.computed
            for warning in done.warnings
        ]
    warn(warnings)
    if not any(run.computed or run.synced.rows for run in view_runs):
        line("Everything is computed and synced: nothing to do.")
        return
    rows = []
    for run in view_runs:
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
    table(("feature view", "ranges", "rows", "dropped", "synced"), rows)


def status(views: Sequence[ViewStatus]) -> None:
    """Print how fresh every view is."""
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
    for view in views:
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
    for problem in dict.fromkeys(view.online_problem for view in views if view.online_problem):
        line(problem)
    for problem in dict.fromkeys(problem for view in views for problem in view.problems):
        out.print(Text.assemble(("problem: ", "bold red"), problem))


def _sync_lag(view: ViewStatus) -> str:
    if view.online is None:
        return "no online store"
    if not view.online:
        return "offline only"
    if view.online_problem:
        return "no reply"
    return "not synced" if view.sync_lag is None else _short(view.sync_lag)


def vector(service: str, keys: Mapping[str, str], features: FeatureVector) -> None:
    """Print the features of one entity."""
    line(f"{service} {' '.join(f'{name}={value}' for name, value in keys.items())}")
    rows = []
    for name, value in features.items():
        since = features.effective_time(name)
        rows.append(
            (
                name,
                written(value),
                features.status(name).value,
                format_instant(since) if since else "",
            )
        )
    table(("feature", "value", "status", "effective since"), rows)


def findings(findings: Sequence[Finding]) -> None:
    """Print the findings of `plane doctor`."""
    signs = {
        "ok": ("ok", "green"),
        "warning": ("warning", "yellow"),
        "error": ("error", "bold red"),
    }
    for finding in findings:
        sign, colour = signs[finding.level]
        out.print(Text.assemble((f"{sign:8}", colour), f"{finding.subject}: {finding.message}"))
        if finding.hint:
            out.print(Text(f"          -> {finding.hint}"))


def datasets(training_sets: Sequence[Created]) -> None:
    """Print a table of training sets."""
    rows = [
        (
            d.table,
            d.service,
            f"{d.row_count:,}",
            format_instant(d.created_at.replace(microsecond=0)),
            d.created_by,
        )
        for d in training_sets
    ]
    table(("training set", "service", "rows", "created", "by"), rows)


def airflow_runs(states_by_view: Mapping[str, Mapping[str, str]]) -> None:
    """Print the states of Airflow's runs."""
    rows = []
    for view, states in states_by_view.items():
        failed = [partition for partition, state in states.items() if state != "success"]
        rows.append((view, str(len(states)), str(len(states) - len(failed)), ", ".join(failed)))
    table(("feature view", "runs", "succeeded", "failed"), rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print a table; if the terminal is too narrow, print one line per cell to break no words."""
    columns = list(map(printable, columns))
    cells = [
        [cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row] for row in rows
    ]
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
    """Return one line of a table."""
    aligned, blanks = Text(), 0
    for cell, width in zip(cells, widths, strict=True):
        aligned.append(" " * blanks).append_text(cell)
        blanks = width - cell.cell_len + _GAP
    return aligned.append(" " * (blanks - _GAP))


def lines(texts: Iterable[Text]) -> None:
    """Print lines without rich's markup."""
    # One print for all: a call of rich takes longer than the assembly of a line.
    lines = list(texts)
    if lines and out.is_terminal:
        out.print(Text("\n").join(lines))
    elif lines:
        out.file.write("".join(f"{text.plain}\n" for text in lines))
        out.file.flush()


def _short(duration: timedelta) -> str:
    """Format a duration in whole seconds, or below one second with its microseconds."""
    whole = timedelta(seconds=int(duration.total_seconds()))
    return format_duration(whole if whole >= timedelta(seconds=1) else duration)


def load(measured: Measured) -> None:
    """Print what a load test measured, with a histogram of response times."""
    figures = measured.to_dict()
    per_second = measured.codes[200] / measured.seconds
    line(
        f"{figures['requests']:,} requests in {measured.seconds:.1f} s: {per_second:,.0f} responses"
        " per second"
    )
    line(
        "  ".join(
            f"{name.removesuffix('_ms')} {figures[name]:.2f} ms"
            for name in ("p50_ms", "p90_ms", "p99_ms")
        )
    )
    if set(measured.codes) != {200}:
        line(
            "statuses: "
            + ", ".join(f"{code}: {count:,}" for code, count in sorted(measured.codes.items()))
        )
    counts = measured.histogram()
    most = max(counts.values())
    for limit, count in counts.items():
        line(f"<= {limit:>7g} ms  {'#' * -(-count * 50 // most):<50} {count:,}")
