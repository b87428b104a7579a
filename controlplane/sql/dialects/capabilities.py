"""What a warehouse's SQL can do beyond what all of them can, as flags and short texts.

Each flag means one thing and can be switched alone. The templates and `controlplane.sql` ask for
the flag that they need and never for a warehouse's name. A flag's default is the form that needs
less of the warehouse.
"""

from __future__ import annotations

from typing import Literal

AsOfJoin = Literal["", "on", "match_condition"]


class Capabilities:
    """The flags of a dialect, which a warehouse with the capability overrides.

    Attributes:
        transactional: Several INSERT, UPDATE, DELETE and MERGE statements can take effect together.
            Without it, a statement that replaces rows does so by itself (REPLACE WHERE), and a run
            stops where another run took the head.
        transactional_ddl: CREATE can be a part of such a transaction, and be rolled back with it.
            Without it, a table that a step makes is made with OR REPLACE, and what notes that a
            public view changed is one MERGE, so that the step can be repeated.
        replaces_history: A publication deletes the history of the keys that it touches and inserts
            what is computed, in one transaction (`publish.sql.j2`): the dialect must be
            `transactional`. Without it, a publication computes the differences into a table of the
            run and merges them (`merge.sql.j2`), where each statement can be repeated.
        window_frames: A window function can have a RANGE frame between two durations (see
            `Dialect.span`) and over integers. Then one pass over a key's line of time computes all
            windows. Without it, each moment is joined with the tiles of its windows and grouped.
        rollups: A view keeps tiles that are merged two by two, and a run of the next interval reads
            those (`rollups.sql.j2`). `publish.sql.j2` writes them. Without it, every run reads the
            tiles.
        as_of_join: How an as-of join is written: with an inequality in its condition (`on`) or with
            a MATCH_CONDITION beside it. Without one (empty), the newest row is carried along a
            key's line of time by a window function.
        ordered_tables: A table gives its rows in the order in which they were inserted. Then a
            training set has the order of its spine. Without it, it has none.
        laterals: A subquery of any form may refer to each row of a relation before it (LATERAL).
            Then one statement evaluates many intervals of a view that is computed interval by
            interval. Without it, each interval has a statement of its own.
        has_rights: Reading and writing need rights, which a plan then checks by asking the
            warehouse to explain the statements. Without it, whoever opens the warehouse may do all.
        has_handlers: The text of a function in Python is a module, and a HANDLER names the function
            in it that is called. Without it, the text is the body of a function.
        wide_integers: An integer column can hold numbers of more than 64 bits, so that the range of
            a user's integers is checked. Without it, the column's type is this check.
        folds_case: Names that differ in case alone are one name, quoted or not. Without it, a
            quoted name keeps its case.
        transient: Stands before TABLE where a table lives only as long as a run.
        kept_grants: Follows the name of a view that is replaced, so that grants on it remain.
        python_runtime: The version of Python that functions name; empty where they name none.
        partitioned_by_view: Follows the columns of a table into which runs of several views write,
            so that they don't wait for each other; empty where they don't anyway.
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
