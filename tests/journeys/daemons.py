"""Real daemons as processes, for tests and benchmarks: started, driven by commands, killed, weighed.

    with Daemon(tmp_path / "owner", "owner@hospital.example", tmp_path / "mailbox") as owner:
        owner.cli("status")
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from syftd.demo.daemon import CommandFailed, Waited
from syftd.demo.daemon import Daemon as Process

__all__ = ["CommandFailed", "Daemon", "Waited", "befriend", "wait_until"]

WAIT_SECONDS = 30.0


class Daemon(Process):
    """A daemon that is initialised and started on entering the `with` block and has ended after it."""

    def __enter__(self) -> Self:
        if not self.home.exists():
            self.init()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.last_words())  # pytest shows it beside the failure.
        self.stop()

    def restart(self) -> None:
        """Stops the daemon in the ordinary way and starts it again."""
        self.stop()
        self.start()

    def write(self, path: str, content: bytes | str) -> Path:
        """Puts a file into the own datasite whole, by renaming it in from beside the data folder."""
        target = self.own / path
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = content.encode() if isinstance(content, str) else content
        drop(self.data.with_name(f".{self.home.name}.drop"), target, whole)
        return target

    def sees(self, of: str, path: str, content: bytes | str, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the mirror of the peer `of` holds `path` with exactly `content`."""
        expected = content.encode() if isinstance(content, str) else content
        mirrored = self.mirror(of) / path
        self.wait_for(lambda: holds(mirrored, expected), timeout, f"{path} of {of}")

    def peer_state(self, email: str) -> str:
        """The state of a contact as `peers list` tells it, '' when there is none."""
        return next((str(peer["state"]) for peer in self.cli("peers", "list") if peer["email"] == email), "")

    def lacks(self, of: str, path: str, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the mirror of the peer `of` holds nothing at `path`."""
        mirrored = self.mirror(of) / path
        self.wait_for(lambda: not mirrored.exists(), timeout, f"{path} of {of} to go")

    def holds(self, path: str, content: bytes | str, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the own datasite holds `path` with exactly `content`."""
        self.sees(self.email, path, content, timeout)

    def took_up(self, *paths: str, timeout: float = WAIT_SECONDS) -> None:
        """Waits until own files are accepted, shared or not: from then on they would be told if they were to be told."""
        for path in paths:
            self.wait_for(lambda path=path: self.cli("history", path), timeout, f"{path} to be taken up", 0.1)  # type: ignore[misc]

    def caught_up_with(self, owner: Daemon, timeout: float = WAIT_SECONDS) -> None:
        """Waits until everything that `owner` has told this reader before is here.

        A stream is in order, so a fresh public file arrives after all that was told earlier. What lies in a new folder
        may be noticed later than the mark; see `took_up`.
        """
        mark = f"public/marks/{secrets.token_hex(6)}"
        owner.write(mark, mark)
        self.sees(owner.email, mark, mark, timeout)

    def problem(self, kind: str, about: str = "") -> dict[str, Any] | None:
        """The first problem of that kind whose subject or text names `about`."""
        found = (each for each in self.cli("problems") if each["kind"] == kind)
        return next((each for each in found if about in f"{each['subject']} {each['text']}"), None)

    def troubled_by(self, kind: str, about: str = "", timeout: float = WAIT_SECONDS) -> dict[str, Any]:
        """Waits until a problem of that kind about `about` is shown, and returns it."""
        found: dict[str, Any] = self.wait_for(lambda: self.problem(kind, about), timeout, f"the problem {kind}", 0.2)
        return found

    def healed_of(self, kind: str, about: str = "", timeout: float = WAIT_SECONDS) -> None:
        """Waits until no problem of that kind about `about` is shown."""
        self.wait_for(lambda: self.problem(kind, about) is None, timeout, f"the end of the problem {kind}", 0.2)

    def trash(self) -> set[bytes]:
        """The contents that lie in the trash."""
        return {path.read_bytes() for path in (self.data / ".trash").glob("*/*/*") if path.is_file()}

    def forget_crashes(self) -> None:
        """Makes the next start count as the first: for tests that kill more often than a crash loop would."""
        (self.home / "state" / "starts").unlink(missing_ok=True)

    def job(self, name: str) -> dict[str, Any] | None:
        """The first job of that name that `jobs list` shows."""
        return next((job for job in self.cli("jobs", "list") if job["name"] == name), None)

    def cpu_seconds(self) -> float:
        """CPU time that the process and its ended children have used so far, in seconds."""
        return cpu_seconds(self.pid)

    def memory(self, field: str = "VmRSS") -> int:
        """Memory of the process in bytes; `field` VmRSS is now, VmHWM the highest so far."""
        return memory(self.pid, field)


def befriend(one: Daemon, other: Daemon, timeout: float = WAIT_SECONDS) -> None:
    """Makes two running daemons accepted peers of each other: `one` asks, `other` accepts."""
    one.cli("peers", "add", other.email)
    other.wait_for(lambda: other.peer_state(one.email) == "requested_by_peer", timeout, f"the request of {one.email}")
    other.cli("peers", "accept", one.email)
    for each, peer in ((one, other), (other, one)):
        each.wait_for(lambda each=each, peer=peer: each.peer_state(peer.email) == "accepted", timeout, "acceptance")  # type: ignore[misc]


def wait_until(condition: Callable[[], Any], timeout: float, what: str, every: float = 0.01) -> Any:
    """Returns the first true value of `condition`; raises Waited after `timeout` seconds."""
    from syftd.seams import sleep_until

    found: list[Any] = []

    def met() -> bool:
        found[:] = [condition()]
        return bool(found[0])

    if not sleep_until(met, timeout=timeout, every=every):
        raise Waited(f"waited {timeout:.0f} s in vain for {what}")
    return found[0]


def drop(scratch: Path, target: Path, content: bytes) -> None:
    """Lets `target` appear whole in one rename, as an editor that saves carefully would."""
    scratch.write_bytes(content)
    scratch.replace(target)


def holds(path: Path, content: bytes) -> bool:
    """Whether the file is there with exactly these bytes."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except (FileNotFoundError, NotADirectoryError):
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its ended children, in seconds, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def memory(pid: int, field: str = "VmRSS") -> int:
    """A memory figure of /proc/PID/status in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0
