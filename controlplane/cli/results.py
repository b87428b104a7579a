"""Print rows of the warehouse, previews, SQL, training sets and loaded tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from controlplane.base.types import format_instant
from controlplane.cli.present import line, out, table
from controlplane.cli.texts import written

if TYPE_CHECKING:
    from controlplane.api.dataset import TrainingSet
    from controlplane.api.load import Loaded
    from controlplane.api.preview import Preview
    from controlplane.api.sql import ViewStatement
    from controlplane.training.profile import FeatureProfile

_SHOWN_ROWS = 10
_LONGEST = 24
# Without UTF-8, the blocks would be printed as escapes.
_BARS = "▁▂▃▄▅▆▇█" if out.encoding.lower().startswith("utf") else "_.-=+*%#"


def rows(columns: Mapping[str, str], values: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table, with the type of each column below its name."""
    types = [Text(column_type, "dim") for column_type in columns.values()]
    table([*columns], [types, *([written(row[name]) for name in columns] for row in values)])


def counted(shown: int, *, more: bool) -> None:
    """Print how many rows were shown, and how to see the others."""
    if more:
        line(f"the first {shown:,} rows; --rows shows more, -o FILE writes all of them")
    else:
        line(f"{shown:,} row{'' if shown == 1 else 's'}")


def training_set(shown: TrainingSet) -> None:
    """Print what a training set is made of."""
    definition = shown.definition
    created_at = format_instant(shown.created_at.replace(microsecond=0))
    origin = "from the sources" if definition.get("from_source") else "from the views' tables"
    facts = {
        "training set": f"{shown.name}, version {shown.version}",
        "table": shown.table,
        "service": shown.service,
        "rows": f"{shown.row_count:,}",
        "created": f"{created_at} by {shown.created_by}",
        "values": f"as {definition.get('as_of', 'scheduled')}, {origin}",
        "time": definition.get("time", ""),
        "spine": " ".join(str(definition.get("spine", "")).split()),
    }
    described(facts)
    line("")
    features = set(definition.get("features", ()))
    calculations = definition.get("calculations", {})
    roles = {
        name: "feature" if name in features else "calculation" if name in calculations else "spine"
        for name in shown.columns
    }
    table(
        ("column", "type", "from"),
        [(name, column_type, roles[name]) for name, column_type in shown.columns.items()],
    )


def described(facts: Mapping[str, str]) -> None:
    """Print one line for each fact, with the names in a column."""
    width = max(map(len, facts))
    for name, fact in facts.items():
        line(f"{name:{width}}  {fact}".rstrip())


def loaded(table_: Loaded) -> None:
    """Print what was loaded, with the columns."""
    line(f"loaded {table_.row_count:,} rows into {table_.table}")
    table(("column", "type"), [*table_.columns.items()])


def preview(previewed: Preview) -> None:
    """Print what the values of a view look like, and the first rows."""
    count = len(previewed.rows)
    entities = f"{count:,} entit{'y' if count == 1 else 'ies'}"
    line(f"{previewed.view} at {format_instant(previewed.at)}: {entities}, from the sources")
    if not count:
        line("No entity has a row by then.")
        return
    line("")
    table(
        ("feature", "type", "null", "values", ""),
        [
            (
                profile.name,
                Text(profile.type, "dim"),
                f"{profile.null_share:.1%}",
                _range(profile),
                bars(profile.histogram),
            )
            for profile in previewed.profiles
        ],
    )
    line("")
    columns = {**previewed.keys, **previewed.features}
    rows(columns, previewed.rows[:_SHOWN_ROWS])
    if count > _SHOWN_ROWS:
        line(f"the first {_SHOWN_ROWS} of {entities}; --json has all")


def _range(profile: FeatureProfile) -> str:
    if profile.frequent:
        return ", ".join(f"{_short(value)} ({count:,})" for value, count in profile.frequent)
    if profile.minimum is None:
        return ""
    low, high = _short(profile.minimum), _short(profile.maximum)
    return low if low == high else f"{low} to {high}"


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else written(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def bars(counts: Sequence[int]) -> str:
    """Draw a histogram as one line of blocks; a bin without values is a space."""
    most = max(counts, default=0)
    top = len(_BARS) - 1
    return "".join(_BARS[count * top // most] if count else " " for count in counts)


def statements(rendered: Sequence[ViewStatement]) -> None:
    """Print statements as SQL, each after a comment with its name."""
    sql_text("\n\n".join(f"-- {s.task}: {s.name}\n{s.sql};" for s in rendered))


def sql_text(text: str) -> None:
    """Print SQL, coloured on a terminal."""
    if out.is_terminal:
        # lazy: its lexers take longer to import than all else that other commands print
        from rich.syntax import Syntax

        # The colours of the terminal itself, on its own background.
        out.print(Syntax(text, "sql", theme="ansi_dark", background_color="default"))
    else:
        out.print(Text(text))
