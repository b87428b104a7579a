"""Run all steps of the example: load, plan, deploy, compute, run Airflow, read online, create a
training set.

A second run finds nothing to do. `--keep-airflow` leaves Airflow running, with its UI.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from load import load

HERE = Path(__file__).resolve().parent
PLANE = Path(sys.executable).with_name("plane")
COMPUTED_HERE_UNTIL = "2014-01-01T03:00Z"
END = "2014-01-01T06:00Z"


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def plane(*arguments: str) -> None:
    print(f"$ plane {shlex.join(arguments)}", flush=True)
    subprocess.run([PLANE, *arguments], cwd=HERE, check=True)


def asked(*arguments: str) -> list:
    answer = subprocess.run(
        [PLANE, *arguments, "--json"], cwd=HERE, check=True, stdout=subprocess.PIPE
    )
    return json.loads(answer.stdout)


def main() -> None:
    started = time.monotonic()
    keep_airflow = "--keep-airflow" in sys.argv[1:]
    say("1. Create the warehouse that a team would already have: raw tables in DuckDB")
    load()
    say("2. What would a deploy change, and what would then be computed?")
    plane("plan")
    say("3. Apply the plan: tables in the warehouse, DAGs for Airflow")
    plane("deploy", "--yes")
    say("4. Compute the whole year except its last hours")
    plane("run", "--end", COMPUTED_HERE_UNTIL)
    behind = [view["view"] for view in asked("status") if view["missing_intervals"]]
    if behind or keep_airflow:
        say("5. Compute the last hours in Airflow, as in production")
        plane("airflow", "up")
    if behind:
        plane("airflow", "run", "--start", COMPUTED_HERE_UNTIL, "--end", END)
    elif not keep_airflow:
        say("5. Every hour is computed already: there is nothing to compute in Airflow")
    say("6. Read the features of a flight from JFK, as a model does")
    plane(
        "get",
        "late_arrival",
        "--key",
        "origin=JFK",
        "--key",
        "carrier=B6",
        "--key",
        "tailnum=N593JB",
    )
    say("7. A training set of all flights, with the values known two hours before departure")
    if any(dataset["name"] == "late_2013" for dataset in asked("dataset", "list")):
        plane("dataset", "list")
    else:
        spine = ["--service", "late_arrival", "--spine", "spine.sql", "--time", "predict_at"]
        plane("dataset", "create", "late_2013", *spine)
    say("8. How fresh is everything?")
    plane("status")
    nothing = not behind and (HERE / ".plane" / "demo-ran").exists()
    (HERE / ".plane" / "demo-ran").touch()
    if keep_airflow:
        plane("airflow", "up")
        print("Stop it with: plane stop")
    else:
        plane("stop")
    end = (
        "There was nothing to do: everything was computed already."
        if nothing
        else "Done. If you run it again, it finds nothing to do."
    )
    say(f"{end} ({time.monotonic() - started:.0f} s)")


if __name__ == "__main__":
    main()
