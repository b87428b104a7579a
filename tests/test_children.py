"""Case D: tests also pass where SIGINT is ignored, as in a background job of a shell."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest

from tests.children import interruptible

SAYS = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


@pytest.mark.parametrize(("started", "says"), [(interruptible, "True"), (nullcontext, "False")])
def test_d_a_child_may_be_interrupted_although_its_parent_ignores_ctrl_c(started, says):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with started():
            child = subprocess.run(
                [sys.executable, "-c", SAYS], capture_output=True, text=True, check=True
            )
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.stdout.strip() == says
