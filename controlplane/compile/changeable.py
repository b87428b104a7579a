"""Functions whose value depends on more than their arguments: on the time, on chance, on the
session.

A second run of the same interval would give other values, so no SQL of a definition may hold them.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

import sqlglot
from sqlglot import Token, TokenType

_DUCKDB = (
    "current_catalog current_connection_id current_database current_date current_localtime"
    " current_localtimestamp current_query current_query_id current_role current_schema"
    " current_schemas current_setting current_time current_timestamp current_transaction_id"
    " current_user currval error gen_random_uuid get_current_time get_current_timestamp getvariable"
    " in_search_path localtime localtimestamp nextval now random session_user setseed setval"
    " sleep_ms stats today transaction_timestamp txid_current user uuid uuidv4 uuidv7 vector_type"
    " write_log"
)
_SNOWFLAKE = (
    "all_user_names current_account current_account_name current_available_roles current_client "
    "current_ip_address current_organization_name current_region current_role_type "
    "current_secondary_roles current_session current_statement current_transaction current_version "
    "current_warehouse encrypt encrypt_raw getdate invoker_role invoker_share "
    "is_database_role_in_session is_granted_to_invoker_role is_role_in_session last_query_id "
    "last_transaction normal randstr seq1 seq2 seq4 seq8 sysdate systimestamp uniform uuid_string "
    "zipf"
)
_DATABRICKS = (
    "aes_encrypt ai_query curdate current_metastore current_path current_recipient current_timezone"
    " input_file_block_length input_file_block_start input_file_name is_account_group_member"
    " is_member monotonically_increasing_id rand randn secret session_window shuffle"
    " spark_partition_id try_secret version"
)
CHANGEABLE = frozenset(f"{_DUCKDB} {_SNOWFLAKE} {_DATABRICKS}".split(" "))
"""Their names, of all warehouses: a name means the same wherever two have it."""
CLOCKED = {"age": 2, "unix_timestamp": 1}
"""Functions that ask the clock when they have fewer arguments than this."""
_CLOCK_WORDS = re.compile(
    r"\b(?i:now|today|tomorrow|yesterday)(\s+([A-Z]{1,4}|[A-Za-z]+/\w+)|\s*(UTC|GMT)?[+-][\d:]+)?\b"
)
"""Texts that Spark reads as a time where it casts them to one: `DATE 'today'`, `ts < 'now'`."""
_PATTERNS = ("like", "ilike", "rlike", "regexp")
"""Operators whose operands are texts, whatever they hold."""
_BARE = ("current_", "localtime", "session_user", "systimestamp", "sysdate")


class Changeable(NamedTuple):
    """A function that is called, or another construct, and its line in the text."""

    name: str
    line: int


_ANY = re.compile(rf"\b(?:{'|'.join(sorted(CHANGEABLE | CLOCKED.keys()))})\b", re.IGNORECASE)
"""What most texts hold nothing of: these are not read word by word."""


def changeable(sql: str, dialect: str) -> list[Changeable]:
    """What in a text depends on more than its rows, each once.

    The parser has other names for some functions, so words are looked at.
    """
    spark = dialect == "databricks"
    if _ANY.search(sql) is None and not (spark and _CLOCK_WORDS.search(sql)):
        return []
    tokens: list[Token | None] = [*sqlglot.tokenize(sql, dialect=dialect), None]
    found: dict[str, Changeable] = {}
    for place, (token, following) in enumerate(pairwise(tokens)):
        if token is None:
            continue
        if token.token_type is TokenType.STRING:
            before = tokens[place - 1] if place else None
            if spark and _CLOCK_WORDS.fullmatch(token.text.strip()) and not _matched(before):
                found.setdefault(token.text, Changeable(f"'{token.text}'", token.line))
            continue
        name = token.text.lower()
        called = following is not None and following.token_type is TokenType.L_PAREN
        bare = name.startswith(_BARE) and token.token_type is not TokenType.IDENTIFIER
        qualified = place > 0 and (before := tokens[place - 1]) is not None and before.text == "."
        if (
            (name in CHANGEABLE and (called or (bare and not qualified)))
            or (name == "nextval" and qualified)
            or (called and _arguments(tokens[place + 2 :]) < CLOCKED.get(name, 0))
        ):
            found.setdefault(name, Changeable(name, token.line))
    return list(found.values())


def _matched(before: Token | None) -> bool:
    return before is not None and before.text.lower() in _PATTERNS


def _arguments(tokens: list[Token | None]) -> int:
    """How many arguments a call has whose parenthesis was opened before these tokens."""
    depth, commas = 0, 0
    for place, token in enumerate(tokens):
        if token is None or (token.token_type is TokenType.R_PAREN and depth == 0):
            return commas + 1 if place else 0
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        commas += token.token_type is TokenType.COMMA and depth == 0
    return commas + 1
