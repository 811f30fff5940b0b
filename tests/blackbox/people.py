"""People at the nodes: what they do to files, and exactly what they see in the moment of doing it."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from syftd.tree import kernel
from tests.blackbox.model import OWNER, File, Value
from tests.journeys.daemons import Daemon, wait_until

FOLDER = "pool"
REST_SECONDS = 60.0
_VALUE = re.compile(rb"value (\d+)\n")


@dataclass(frozen=True, slots=True)
class Node:
    """One daemon and the folder in which its person works."""

    daemon: Daemon
    folder: Path
    scratch: Path

    def read(self, name: str) -> Value:
        try:
            return number((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, value: int) -> Value:
        """Puts a value there and returns what it replaced, with no moment in between: the two names are exchanged."""
        fresh = self.scratch / f"{value}"
        fresh.write_bytes(b"value %d\n" % value)
        here, there = (os.open(each, os.O_RDONLY | os.O_DIRECTORY) for each in (self.scratch, self.folder))
        try:
            while True:
                try:
                    assert kernel.rename(here, fresh.name, there, name, kernel.EXCHANGE)
                    return number(fresh.read_bytes())
                except FileNotFoundError:
                    pass  # There is none to exchange with; then it must be a new one.
                try:
                    assert kernel.rename(here, fresh.name, there, name, kernel.NO_REPLACE)
                    return None
                except FileExistsError:
                    continue  # One has come in this moment.
        finally:
            os.close(here)
            os.close(there)

    def delete(self, name: str) -> Value:
        """Takes the file away and returns what it held; None when there was none."""
        taken = self.scratch / f"deleted-{name}"
        try:
            (self.folder / name).rename(taken)
        except FileNotFoundError:
            return None
        return number(taken.read_bytes())


def number(content: bytes) -> int:
    """The value in a file; anything else than one whole value is a failure."""
    found = _VALUE.fullmatch(content)
    assert found is not None, f"a file holds {content!r}"
    return int(found.group(1))


class Game:
    """Rounds of random steps at random nodes, each judged as it happens, each ending at rest."""

    def __init__(self, nodes: list[Node], names: list[str], dice: random.Random) -> None:
        self.nodes = nodes
        self.files = {name: File(len(nodes) - 1) for name in names}
        self.steps = 0
        self.widest = 0
        """The largest number of states that a file was in at once."""
        self._dice = dice
        self._values = 0
        self._frozen: set[int] = set()
        self._pause = threading.Event()

    def round(self, steps: int) -> None:
        """Some steps, then rest."""
        for _ in range(steps):
            self._pause.wait(self._dice.choice((0.0, 0.0, self._dice.uniform(0.0, 0.15), self._dice.uniform(0.0, 0.6))))
            self._step()
        self.stabilize()

    def _step(self) -> None:
        self.steps += 1
        node, name = self._dice.randrange(len(self.nodes)), self._dice.choice(sorted(self.files))
        what = self._dice.random()
        if what < 0.12:
            self._freeze_or_thaw(node)
            return
        file = self.files[name]
        if what < 0.45:
            file.read(node, self.nodes[node].read(name))
        elif what < 0.88:
            self._values += 1
            file.write(node, self._values, self.nodes[node].write(name, self._values))
        else:
            file.write(node, None, self.nodes[node].delete(name))
        self.widest = max(self.widest, len(file.states))

    def _freeze_or_thaw(self, node: int) -> None:
        """A daemon sleeps for a while, or wakes, so that people overtake it."""
        if node in self._frozen:
            self._frozen.discard(node)
            os.kill(self.nodes[node].daemon.pid, signal.SIGCONT)
        else:
            self._frozen.add(node)
            os.kill(self.nodes[node].daemon.pid, signal.SIGSTOP)

    def stabilize(self) -> None:
        """Waits until no daemon has anything to do, then judges what every node shows and what was kept."""
        for node in sorted(self._frozen):
            self._freeze_or_thaw(node)
        try:
            wait_until(lambda: self._at_rest() and self._at_rest(), REST_SECONDS, "the daemons to come to rest", 0.1)
        finally:
            self._tell_unrest()
        kept = self._kept()
        for name, file in self.files.items():
            file.stabilize([node.read(name) for node in self.nodes], kept)

    def _tell_unrest(self) -> None:
        """Prints what a wait in vain would have to be understood from."""
        for name, file in self.files.items():
            values = [node.read(name) for node in self.nodes]
            if len(set(values)) != 1:
                print(f"{name}: {values}, after {file.story[-12:]}")
        for node in self.nodes:
            for peer in node.daemon.cli("status", ok=(0, 3))["peers"]:
                if peer["to_send"] or peer["to_fetch"] or peer["waiting_verdict"]:
                    print(node.daemon.email, peer)

    def _at_rest(self) -> bool:
        for node in self.nodes:
            status = node.daemon.cli("status", ok=(0, 3))
            # A long play deletes more than a person would by accident; whoever plays says that it is meant.
            plans = [problem["plan"] for problem in status["problems_list"] if problem["plan"]]
            for plan in plans:
                node.daemon.cli("confirm", plan)
            if plans or status["scanning"]:
                return False
            if any(peer["to_send"] or peer["to_fetch"] or peer["waiting_verdict"] for peer in status["peers"]):
                return False
        return all(len({node.read(name) for node in self.nodes}) == 1 for name in self.files)

    def _kept(self) -> set[int]:
        """The values in the trash of any node, and the earlier versions that the owner can go back to."""
        contents = {content for node in self.nodes for content in node.daemon.trash()}
        trashed = {int(found.group(1)) for content in contents if (found := _VALUE.fullmatch(content))}
        return trashed | {value for name in self.files for value in self._history(name)}

    def _history(self, name: str) -> set[int]:
        """What the owner's history has of a file, told apart by digest: a value is its own bytes."""
        from syftd.names import Digest

        owner = self.nodes[OWNER].daemon
        digests = {version["sha256"] for version in owner.cli("history", f"{FOLDER}/{name}")}
        return {value for value in range(1, self._values + 1) if Digest.of(b"value %d\n" % value) in digests}
