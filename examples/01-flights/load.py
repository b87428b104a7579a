"""Create the warehouse that a team would already have: `load.sql` fills raw tables from the Parquet
files in `data`."""

from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent


def load() -> None:
    warehouse = HERE / ".plane" / "warehouse.duckdb"
    if warehouse.exists():
        print("the warehouse is loaded already")
        return
    warehouse.parent.mkdir(exist_ok=True)
    draft = warehouse.with_suffix(".loading")
    draft.unlink(missing_ok=True)
    with duckdb.connect(str(draft)) as connection:
        connection.execute((HERE / "load.sql").read_text().replace("'data/", f"'{HERE}/data/"))
        [(flights, departures)] = connection.execute(
            "SELECT (SELECT count(*) FROM raw.flights), (SELECT count(*) FROM raw.departures)"
        ).fetchall()
    draft.rename(warehouse)
    print(f"loaded {flights:,} flights, {departures:,} of which departed", flush=True)


if __name__ == "__main__":
    load()
