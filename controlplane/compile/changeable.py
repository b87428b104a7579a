"""Functions whose value depends on the clock, on random numbers or on the session.

A second run of the same interval would give other values, so no SQL of a definition may call them.
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
"""Their names in all warehouses; no name is changeable in one and stable in another."""
CLOCKED = {"age": 2, "unix_timestamp": 1}
"""Functions that read the clock if they have fewer arguments than this."""
_CLOCK_WORDS = re.compile(
    r"\b(?i:now|today|tomorrow|yesterday)(\s+([A-Z]{1,4}|[A-Za-z]+/\w+)|\s*(UTC|GMT)?[+-][\d:]+)?\b"
)
"""Texts that Spark casts to the current time: `DATE 'today'`, `ts < 'now'`."""
_TIME_OF_DAY = re.compile(r"T?\d{1,2}:\d{1,2}(:\d{1,2}(\.\d*)?)?(\s*\S+)?")
"""Texts that Spark casts to an instant of the current day: `TIMESTAMP '10:15'`."""
_MAYBE_TIME_OF_DAY = re.compile(r"['\"]\s*T?\d{1,2}:\d")
_INSTANTS = ("timestamp", "timestamp_ltz")
"""Types whose texts may lack the date; those of TIMESTAMP_NTZ may not."""
_PATTERNS = ("like", "ilike", "rlike", "regexp")
"""Operators whose operands stay texts: `x LIKE 'now'` reads no clock."""
# Functions that are called without parentheses.
_BARE = ("current_", "localtime", "session_user", "systimestamp", "sysdate")


class Changeable(NamedTuple):
    """A call of such a function, or a text such as `'today'`, and its line in the SQL."""

    name: str
    line: int


_NAMES = CHANGEABLE | CLOCKED.keys()
_WORD = re.compile(r"\w+")


def changeable(sql: str, dialect: str) -> list[Changeable]:
    """Return what makes a text depend on more than its rows, each name once."""
    spark = dialect == "databricks"
    # Most texts have none of the names, and need not be tokenized.
    texts = spark and (_CLOCK_WORDS.search(sql) or _MAYBE_TIME_OF_DAY.search(sql))
    if _NAMES.isdisjoint(_WORD.findall(sql.lower())) and not texts:
        return []
    # Tokens, not the parsed tree: the parser renames some functions, such as `now()`.
    tokens: list[Token | None] = [*sqlglot.tokenize(sql, dialect=dialect), None]
    calls: dict[str, Changeable] = {}
    for index, (token, following) in enumerate(pairwise(tokens)):
        if token is None:
            continue
        if token.token_type is TokenType.STRING:
            if spark and _is_of_today(tokens, index):
                calls.setdefault(token.text, Changeable(f"'{token.text}'", token.line))
            continue
        name = token.text.lower()
        called = following is not None and following.token_type is TokenType.L_PAREN
        bare = name.startswith(_BARE) and token.token_type is not TokenType.IDENTIFIER
        # In `t.current_user` the word is a column.
        qualified = index > 0 and (before := tokens[index - 1]) is not None and before.text == "."
        if (
            (name in CHANGEABLE and (called or (bare and not qualified)))
            or (name == "nextval" and qualified)
            or (called and _arguments(tokens[index + 2 :]) < CLOCKED.get(name, 0))
        ):
            calls.setdefault(name, Changeable(name, token.line))
    return list(calls.values())


def _is_of_today(tokens: list[Token | None], index: int) -> bool:
    """Tell whether Spark reads the clock for the text at `index`."""
    around = [token.text if token else "" for token in [None, None, *tokens, None, None]]
    text = around[index + 2].strip()
    earlier, before, _, after, later = (word.lower() for word in around[index : index + 5])
    if _CLOCK_WORDS.fullmatch(text):
        return before not in _PATTERNS
    # Anywhere else such a text may be compared with other texts.
    converted = (
        before in _INSTANTS
        or (after in ("as", "::") and later in _INSTANTS)
        or (before == "(" and after == ")" and earlier in (*_INSTANTS, "to_timestamp"))
    )
    return converted and _TIME_OF_DAY.fullmatch(text.upper()) is not None


def _arguments(tokens: list[Token | None]) -> int:
    """Count the arguments of a call; its opening parenthesis precedes these tokens."""
    depth, commas = 0, 0
    for index, token in enumerate(tokens):
        if token is None or (token.token_type is TokenType.R_PAREN and depth == 0):
            return commas + 1 if index else 0
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        commas += token.token_type is TokenType.COMMA and depth == 0
    return commas + 1
