"""A project of many feature views, as large teams have them: generated, with its source tables."""

from __future__ import annotations

from pathlib import Path

import duckdb

VIEWS_A_FILE = 20
SOURCES = 20
PLANE = """[project]
name = "wide"
dialect = "duckdb"
definitions = ["features"]

[environments.local]
warehouse = { kind = "duckdb", path = ".plane/warehouse.duckdb" }
"""
SHARED = '''"""What every file reads: the entity and the sources."""

from controlplane import BatchSource, Entity

customer = Entity("customer", keys={"customer_id": "int64"}, owner="team@example.com")
SOURCES = [
    BatchSource(
        f"events_{number}",
        table=f"raw.events_{number}",
        timestamp="happened_at",
        settling_delay="30m",
        owner="team@example.com",
    )
    for number in range(%(sources)d)
]
%(names)s = SOURCES
'''
HEAD = '''"""Feature views %(first)d to %(last)d."""

from controlplane import Aggregate, Attribute, FeatureService, batch_feature_view
from shared import %(names)s, customer

'''
VIEW = '''
@batch_feature_view(
    entities=[customer],
    sources=[events_%(source)d],
    schedule="1h",
    start="2024-01-01",
    features=[
        Aggregate("count", windows=["1h", "1d", "7d"]),
        Aggregate("sum", "amount", windows=["1h", "1d"]),
        Aggregate("mean", "amount", windows=["1d", "7d"], where="amount > %(number)d"),
        Aggregate("stddev_samp", "score", windows=["7d"]),
        Aggregate("last", "channel", windows=["7d"]),
        Attribute("last_channel", "string", column="channel"),
    ],
    owner="team@example.com",
    tags={"tier": "%(tier)d"},
)
def activity_%(number)d(events_%(source)d):
    """What customers did in shop %(number)d."""
    return f"""
        SELECT customer_id, happened_at, amount * (1 - coalesce(discount, 0)) AS amount, score, channel
        FROM {events_%(source)d}
        WHERE shop = %(number)d AND NOT cancelled
    """

'''
SERVICE = """
model_%(number)d = FeatureService(
    "model_%(number)d", features=[%(views)s], owner="team@example.com"
)
"""


def write(folder: Path, views: int) -> None:
    """Write the project and its (empty) source tables: 10 features a view, 20 views a file, 20
    sources."""
    names = ", ".join(f"events_{number}" for number in range(SOURCES))
    features = folder / "features"
    features.mkdir(parents=True)
    (folder / ".plane").mkdir()
    (folder / "plane.toml").write_text(PLANE)
    (features / "shared.py").write_text(SHARED % {"sources": SOURCES, "names": names})
    for first in range(0, views, VIEWS_A_FILE):
        numbers = range(first, min(first + VIEWS_A_FILE, views))
        text = HEAD % {"first": first, "last": numbers[-1], "names": names}
        for number in numbers:
            text += VIEW % {"number": number, "source": number % SOURCES, "tier": number % 3}
        text += SERVICE % {
            "number": first,
            "views": ", ".join(f"activity_{number}" for number in numbers),
        }
        (features / f"shop_{first:05d}.py").write_text(text)
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA raw")
        for number in range(SOURCES):
            connection.execute(
                f"CREATE TABLE raw.events_{number} (customer_id BIGINT, happened_at TIMESTAMP,"
                " amount DOUBLE, discount DOUBLE, score DOUBLE, channel VARCHAR, shop BIGINT,"
                " cancelled BOOLEAN, note VARCHAR, country VARCHAR, device VARCHAR, session_id"
                " BIGINT)"
            )
