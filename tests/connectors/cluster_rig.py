"""A real Redis Cluster as processes of a test."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.connectors.processes import answers, free_port, spawn, until

SLOTS = 16384


class Node:
    """A process of a cluster, and a client of its own."""

    def __init__(self, folder: Path, undo: ExitStack, timeout_ms: int) -> None:
        self.port, self.bus = free_port(), free_port()
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus),
            "cluster-node-timeout": str(timeout_ms),
            "cluster-replica-validity-factor": "0",
            "cluster-allow-replica-migration": "no",
            "repl-diskless-sync-delay": "0",
            "save": "",
        }
        words = [word for name, text in options.items() for word in (f"--{name}", text)]
        self.process: subprocess.Popen[bytes] = spawn(folder, undo, self.port, *words)
        self.client = answers(self.port)
        undo.callback(self.client.close)
        self.id = self.ask("MYID").decode()

    def ask(self, *words: object):
        """What a CLUSTER command says."""
        return self.client.execute_command("CLUSTER " + str(words[0]), *words[1:])

    def moving(self) -> int:
        """How many slots are on their way from it."""
        lines = self.client.cluster("NODES").values()
        return sum(len(line["migrations"]) for line in lines if "myself" in line["flags"])


class Nodes:
    """Three masters with a third of the slots each, a replica of each, and a master without slots.

    Args:
        folder: of their files.
        undo: ends them.
        alone: there are three masters and nothing else, and none is taken for dead in a minute.
    """

    def __init__(self, folder: Path, undo: ExitStack, *, alone: bool = False) -> None:
        all_ = [Node(folder, undo, 60_000 if alone else 1000) for _ in range(3 if alone else 7)]
        self.masters, self.replicas, more = all_[:3], all_[3:6], all_[6:]
        self.empty = more[0] if more else all_[0]
        bounds = [0, 5461, 10923, SLOTS]
        for node, first, end in zip(self.masters, bounds, bounds[1:], strict=False):
            node.ask("ADDSLOTSRANGE", first, end - 1)
        for node in all_[1:]:
            all_[0].ask("MEET", "127.0.0.1", node.port, node.bus)
        until(
            lambda: all(node.ask("INFO")["cluster_known_nodes"] == str(len(all_)) for node in all_)
        )
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.ask("REPLICATE", master.id)
        until(lambda: all(node.ask("INFO")["cluster_state"] == "ok" for node in all_))
        until(
            lambda: all(
                r.client.info("replication").get("master_link_status") == "up"
                for r in self.replicas
            )
        )

    @property
    def url(self) -> str:
        """Of one of them."""
        return f"redis://127.0.0.1:{self.masters[1].port}"

    def serving(self) -> list[Node]:
        """The masters that there are now."""
        alive = [
            node
            for node in [*self.masters, *self.replicas, self.empty]
            if node.process.poll() is None
        ]
        return [node for node in alive if node.client.info("replication")["role"] == "master"]

    def empty_all(self) -> None:
        """Remove every key."""
        for node in self.serving():
            node.client.flushall()
