"""The format of a release's SQL files: statements, each after comments that describe it.

    -- @statement: insert the interval's tiles
    -- @insert: "features"."spend__1a2b3c4d__tiles"
    INSERT INTO "features"."spend__1a2b3c4d__tiles"
    -- @query
    SELECT ...;

The first line names the statement. The second line has its kind (`Kind`) and its table. A line
`-- @variant: next` may follow: the statement belongs to one of several ways to do the work. A line
`-- @query` or `-- @condition` begins a part of the text; `-- @end` or the end of the statement ends
the part. The templates of `dag_templates/sql` write the format and only `read` parses it, so that
no other code searches SQL with patterns. To a warehouse all of these lines are comments: people can
paste a file. Files of earlier versions have only the first line; their kinds and parts are empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from controlplane.base.ports import Kind, Statement

_MARK = "\n-- @"
_PARTS = ("query", "condition", "end")
_VARIANT = "variant"
_KINDS: dict[str, Kind] = {name: name for name in get_args(Kind) if name}


def read(text: str) -> list[Statement]:
    """Parse the statements of a file whose variables are filled in, in order.

    Text before the first statement is dropped.
    """
    statements = []
    for piece in ("\n" + text).split(f"{_MARK}statement: ")[1:]:
        name, _, rest = piece.partition("\n")
        statements.append(_statement(name.strip(), rest))
    return statements


def _statement(name: str, text: str) -> Statement:
    statement_kind: Kind = ""
    target, part, variant = "", "", ""
    # The text of the whole statement is under the empty name, each part also under its own.
    texts: dict[str, list[str]] = {"": []}
    for word, value, lines in _marked(text):
        if word in _KINDS:
            statement_kind, target = _KINDS[word], value
        elif word == _VARIANT:
            variant = value
        elif word:
            part = "" if word == "end" else word
        texts.setdefault(part, []).append(lines)
        if part:
            texts[""].append(lines)
    sql, query, condition = (
        _bare("\n".join(texts.get(part, ()))) for part in ("", "query", "condition")
    )
    return Statement(name, sql, statement_kind, target, query, condition, variant=variant)


def _marked(text: str) -> Iterator[tuple[str, str, str]]:
    """Split a statement into pieces, each with the word and value of the mark before it.

    Both are empty for a piece without a mark.
    """
    first, *others = ("\n" + text).split(_MARK)
    yield "", "", first
    for piece in others:
        line, _, lines = piece.partition("\n")
        word, _, value = line.partition(":")
        # A user's comment that looks like a mark stays text.
        known = word in (*_KINDS, _VARIANT) or line in _PARTS
        yield (word, value.strip(), lines) if known else ("", "", _MARK[1:] + piece)


def _bare(text: str) -> str:
    return text.strip().rstrip(";").rstrip()
