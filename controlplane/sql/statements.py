"""The format of a release's SQL files: statements, each after comments that say what it is.

    -- @statement: insert the interval's tiles
    -- @insert: "features"."spend__1a2b3c4d__tiles"
    INSERT INTO "features"."spend__1a2b3c4d__tiles"
    -- @query
    SELECT ...;

The first line names the statement, the second says what it does and to which table (`Kind`). A line
`-- @query` or `-- @condition` begins a part of the text, `-- @end` or the end of the statement ends
it. The templates of `dag_templates/sql` write the format and `read` is its only reader, so that
nothing else looks for a part by a pattern. All of these lines are comments to a warehouse: people
can paste a file. Files of earlier versions have the first line alone; their kinds and parts are
empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from controlplane.base.ports import Kind, Statement

_MARK = "\n-- @"
_PARTS = ("query", "condition", "end")
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind) if kind}


def read(text: str) -> list[Statement]:
    """The statements of a file whose variables are filled in, in order.

    What precedes the first is dropped.
    """
    statements = []
    for piece in ("\n" + text).split(f"{_MARK}statement: ")[1:]:
        name, _, rest = piece.partition("\n")
        statements.append(_statement(name.strip(), rest))
    return statements


def _statement(name: str, text: str) -> Statement:
    kind: Kind = ""
    target, part = "", ""
    texts: dict[str, list[str]] = {"": []}
    for word, value, lines in _marked(text):
        if word in _KINDS:
            kind, target = _KINDS[word], value
        elif word:
            part = "" if word == "end" else word
        texts.setdefault(part, []).append(lines)
        if part:
            texts[""].append(lines)
    sql, query, condition = (
        _bare("\n".join(texts.get(one, ()))) for one in ("", "query", "condition")
    )
    return Statement(name, sql, kind, target, query, condition)


def _marked(text: str) -> Iterator[tuple[str, str, str]]:
    """The pieces of a statement, each with the word and value of the mark before it.

    Both empty where it has none.
    """
    first, *others = ("\n" + text).split(_MARK)
    yield "", "", first
    for piece in others:
        line, _, lines = piece.partition("\n")
        word, _, value = line.partition(":")
        # A comment of somebody else's that looks like a mark stays text.
        known = word in _KINDS or line in _PARTS
        yield (word, value.strip(), lines) if known else ("", "", _MARK[1:] + piece)


def _bare(text: str) -> str:
    return text.strip().rstrip(";").rstrip()
