"""`plane plan` of 1,000 feature views with 10 features each: the CPU seconds and the memory of the
whole process."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import wide
from bench.rows import Row
from controlplane import ControlPlane

VIEWS = 1000
SECONDS = 3.0


def rows(temporary: Path) -> Iterator[Row]:
    """A first plan, one without changes, and one with a change."""
    folder = temporary / "wide"
    wide.write(folder, VIEWS)
    what = f"the target: {SECONDS:g} CPU s"
    _measured(folder)  # Python compiles the definitions' modules once
    cpu, memory = _measured(folder)
    yield Row(f"plan of {VIEWS} new views x 10 features, CPU", cpu, SECONDS, what, 1.0)
    yield Row("the same, peak memory", memory, 1000, "1,000 MB", 1.0, "MB")
    with ControlPlane(folder) as plane:
        plane.deploy()
    yield Row(
        f"plan of {VIEWS} views without a change, CPU", _measured(folder)[0], SECONDS, what, 1.0
    )
    file = folder / "features" / "shop_00000.py"
    file.write_text(
        file.read_text().replace('Aggregate("sum", "amount"', 'Aggregate("max", "amount"', 1)
    )
    yield Row(
        f"plan of {VIEWS} views with one change, CPU", _measured(folder)[0], SECONDS, what, 1.0
    )


def _measured(folder: Path, repeat: int = 3) -> tuple[float, float]:
    """CPU seconds (the median) and peak memory in MB of `plane plan`."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    found = []
    before = after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(repeat):
        before = after
        command = [str(Path(sys.executable).with_name("plane")), "plan", "-C", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(found), after.ru_maxrss / 1e3
