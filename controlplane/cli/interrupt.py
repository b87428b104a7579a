"""Ctrl-C while a database driver works.

Python runs a signal handler only when the driver's C code returns, which may take hours. A thread
is notified immediately and cancels the statement, so that the driver returns.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cancelling(cancel: Callable[[], None]) -> Iterator[None]:
    """Call `cancel` from another thread as soon as Ctrl-C is pressed.

    `KeyboardInterrupt` is raised in the main thread as usual. Use it in the main thread only.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # required by set_wakeup_fd

    def watch() -> None:
        # Python writes the number of each signal to the socket; an empty read is the closed socket.
        while number := ours.recv(1):
            if number[0] == signal.SIGINT:
                cancel()

    watcher = threading.Thread(target=watch, name="ctrl-c", daemon=True)
    watcher.start()
    # No warning: signals may fill the socket while the thread cancels.
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()
        watcher.join()
        ours.close()
