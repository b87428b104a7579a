"""Expectations of columns that are not there or of other types, that say nothing, or that can't be
met."""

from datetime import date

from good import thing

from controlplane import Attribute, BatchSource, batch_feature_view, expect

checked = BatchSource(
    "checked",
    table="raw.events",
    timestamp="ts",
    expectations=[
        expect.not_null("nothing"),
        expect.between("amt", 0.5, 3),
        expect.between("cost", 0, 0.123),
        expect.between("word", 1),
        expect.between("ts", high="yesterday"),
        expect.between("huge", 1, 2),
        expect.between("amt", 3, 2),
        expect.between("amt"),
        expect.that("word"),
        expect.that("amt >"),
        expect.that("colour = 'red'"),
        expect.that("amt IN (SELECT 1)"),
    ],
)


@batch_feature_view(
    entities=[thing],
    sources=[checked],
    features=[Attribute("amt", "int64")],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
    expectations=[
        expect.rows(),
        expect.rows(at_least=2, at_most=1),
        expect.rows(at_least=-1),
        expect.not_null("amt", severity="fatal"),
        expect.not_null("amt", may_fail=5, name=" "),
        expect.one_of("word", []),
        expect.one_of("price", ["cheap", date(2024, 1, 1)]),
        expect.unique(),
        expect.unique("ts", "amt"),
        expect.unique("ts", "amt"),
        "amt > 0",
    ],
)
def subject(checked):
    """What is looked at."""
    return f"SELECT * FROM {checked}"
