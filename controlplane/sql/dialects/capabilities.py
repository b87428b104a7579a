"""The capabilities of a warehouse's SQL that not all warehouses have, as flags and short texts.

Each flag has one meaning and is independent of the others. The templates and `controlplane.sql`
test the flag that they need and never a warehouse's name. A flag's default is the form that needs
less from the warehouse.
"""

from __future__ import annotations

from typing import Literal

AsOfJoin = Literal["", "on", "match_condition"]


class Capabilities:
    """The flags of a dialect; a warehouse with the capability overrides them.

    Attributes:
        transactional: Several INSERT, UPDATE, DELETE and MERGE statements can take effect together.
            Without it, a statement that replaces rows does so by itself (REPLACE WHERE), and a run
            stops where another run took the head.
        transactional_ddl: CREATE can be part of such a transaction, and be rolled back with it.
            Without it, a step creates its tables with OR REPLACE, and one MERGE records the version
            that a public view shows, so that the step can be repeated.
        replaces_history: A publication deletes the history of the keys that it touches and inserts
            the computed rows, in one transaction (`publish.sql.j2`): the dialect must be
            `transactional`. Without it, a publication computes the differences into a table of the
            run and merges them (`merge.sql.j2`); each of its statements can be repeated.
        window_frames: A window function can have a RANGE frame between two durations (see
            `Dialect.span`) and over integers. Then one pass over a key's timeline computes all
            windows. Without it, each moment is joined with the tiles of its windows and grouped.
        rollups: A view keeps tiles that are merged two by two, and a run of the next interval reads
            them (`rollups.sql.j2`). `publish.sql.j2` writes them. Without it, every run reads the
            tiles.
        as_of_join: The form of an as-of join: with an inequality in its condition (`on`) or with a
            separate MATCH_CONDITION. Without as-of joins (empty), a window function carries the
            newest row along a key's timeline.
        ordered_tables: A table returns its rows in the order in which they were inserted. Then a
            training set has the order of its spine. Without it, its order is undefined.
        laterals: A subquery of any form may refer to each row of a relation before it (LATERAL).
            Then one statement evaluates many intervals of a view that is computed interval by
            interval. Without it, each interval has a statement of its own.
        has_rights: Reading and writing need rights, which a plan then checks by asking the
            warehouse to explain the statements. Without it, every user of the warehouse may read
            and write everything.
        has_handlers: The text of a function in Python is a module, and a HANDLER names the function
            in it that is called. Without it, the text is the body of a function.
        wide_integers: An integer column can hold numbers of more than 64 bits, so the range of a
            user's integers must be checked. Without it, the column's type is the check.
        folds_case: Names that differ only in case are one name, quoted or not. Without it, a quoted
            name keeps its case.
        transient: The text before TABLE for a table that lives only as long as a run.
        kept_grants: The text after the name of a replaced view that keeps the grants on it.
        python_runtime: The version of Python that functions name; empty if they name none.
        partitioned_by_view: The text after the columns of a table into which runs of several views
            write, so that they don't wait for each other; empty if they never wait.
    """

    transactional: bool = True
    transactional_ddl: bool = False
    replaces_history: bool = False
    window_frames: bool = False
    rollups: bool = False
    as_of_join: AsOfJoin = ""
    ordered_tables: bool = False
    laterals: bool = False
    has_rights: bool = True
    has_handlers: bool = True
    wide_integers: bool = False
    folds_case: bool = True
    transient: str = ""
    kept_grants: str = ""
    python_runtime: str = ""
    partitioned_by_view: str = ""
