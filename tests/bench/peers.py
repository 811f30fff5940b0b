"""Two ends that are measured: a pair of syftd daemons, a pair of Syncthing instances, and rclone as a copier.

A pair has a folder to drop files into and a folder at the other end where they must appear, both on one filesystem.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.journeys.daemons import Daemon, befriend, cpu_seconds, drop, holds, memory, wait_until

OWNER = "owner@hospital.example"
READER = "reader@university.example"
START_SECONDS = 60.0


class Pair(Protocol):
    """Two ends that keep a folder the same."""

    name: str
    scratch: Path
    """A folder on the same filesystem from which files are renamed into `send`."""

    @property
    def send(self) -> Path: ...

    @property
    def receive(self) -> Path: ...

    @property
    def pids(self) -> list[int]: ...


@dataclass(slots=True)
class SyftdPair:
    """An owner and a reader; what the owner puts into `public/` appears at the reader's."""

    owner: Daemon
    reader: Daemon
    scratch: Path
    name: str = "syftd"

    @property
    def send(self) -> Path:
        return self.owner.own / "public"

    @property
    def receive(self) -> Path:
        return self.reader.mirror(self.owner.email) / "public"

    @property
    def pids(self) -> list[int]:
        return [self.owner.pid, self.reader.pid]


@contextmanager
def syftd_pair(place: Path) -> Iterator[SyftdPair]:
    """Two fresh daemons below `place` that know each other and have exchanged a first file."""
    scratch = place / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with (
        Daemon(place / "o", OWNER, place / "mailbox") as owner,
        Daemon(place / "r", READER, place / "mailbox") as reader,
    ):
        befriend(reader, owner)
        pair = SyftdPair(owner, reader, scratch)
        first_file(pair)
        yield pair


@dataclass(slots=True)
class SyncthingPair:
    """Two Syncthing instances on 127.0.0.1 that share one folder."""

    scratch: Path
    send: Path
    receive: Path
    port: int
    key: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    name: str = "Syncthing"

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def kick(self, name: str) -> None:
        """Asks the sender by REST to look at one name at once, which takes its watcher's delay out of the way."""
        _rest(self.port, self.key, f"/rest/db/scan?folder=bench&sub={name}", method="POST")


@contextmanager
def syncthing_pair(place: Path) -> Iterator[SyncthingPair]:
    """Two fresh instances that talk to each other directly: no discovery, no relays, watcher delay of one second
    (the smallest there is), nothing deprioritised."""
    scratch = place / "scratch"
    homes = [place / "a", place / "b"]
    scratch.mkdir(parents=True)
    ids, ports = [], [(_free_port(), _free_port()) for _ in homes]
    for home in homes:
        subprocess.run(["syncthing", "generate", f"--home={home}"], check=True, capture_output=True, timeout=60)
        config = ET.parse(home / "config.xml").getroot()
        ids.append(next(str(device.get("id")) for device in config.findall("device")))
    for number, home in enumerate(homes):
        (home / "tree").mkdir()
        _configure(home, ids, number, ports)
    pair = SyncthingPair(scratch, homes[0] / "tree", homes[1] / "tree", ports[0][1], "bench")
    try:
        for home in homes:
            with (home / "log.txt").open("wb") as log:
                command = ["syncthing", "serve", f"--home={home}", "--no-browser"]
                # STMONITORED: no monitor process above it, so that one pid is all of an instance.
                environment = {**os.environ, "STNOUPGRADE": "1", "STMONITORED": "1"}
                pair.processes.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
                )
        wait_until(lambda: _connected(pair), START_SECONDS, "the Syncthing instances to connect", every=0.2)
        first_file(pair)
        yield pair
    finally:
        for process in pair.processes:
            process.terminate()
        for process in pair.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def rclone_copy(source: Path, target: Path) -> float:
    """Copies a folder or a file with `rclone copy` and returns the seconds it took."""
    begin = time.perf_counter()
    command = ["rclone", "--config", os.devnull, "copy", str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    return time.perf_counter() - begin


def has_syncthing() -> bool:
    """Whether Syncthing can be measured here."""
    return shutil.which("syncthing") is not None


def has_rclone() -> bool:
    """Whether rclone can be measured here."""
    return shutil.which("rclone") is not None


def first_file(pair: Pair) -> None:
    """Sends one small file and waits for it, so that what follows measures a pair at work and not its start."""
    drop(pair.scratch / "first", pair.send / "first.txt", b"first\n")
    wait_until(lambda: holds(pair.receive / "first.txt", b"first\n"), START_SECONDS, f"the first file of {pair.name}")


def total_cpu(pair: Pair) -> float:
    """CPU seconds of both ends so far."""
    return sum(cpu_seconds(pid) for pid in pair.pids)


def forget_peak(pair: Pair) -> None:
    """Starts the peak memory figure (VmHWM) of both ends anew, from what they hold now."""
    for pid in pair.pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def highest(pair: Pair, what: str) -> float:
    """The larger memory figure of the two ends in MB; `what` is VmRSS or VmHWM."""
    return max(memory(pid, what) for pid in pair.pids) / 1e6


def filesystem(place: Path) -> str:
    """The type of the filesystem that a folder lies on, as the kernel calls it."""
    found, best = "unknown", -1
    for line in Path("/proc/mounts").read_text().splitlines():
        mount, kind = line.split()[1:3]
        if (place == Path(mount) or place.is_relative_to(mount)) and len(mount) >= best:
            found, best = kind, len(mount)
    return found


def _configure(home: Path, ids: list[str], number: int, ports: list[tuple[int, int]]) -> None:
    tree = ET.parse(home / "config.xml")
    config = tree.getroot()
    for name in ("folder", "device"):
        for element in config.findall(name):
            config.remove(element)
    folder = ET.SubElement(config, "folder", {
        "id": "bench", "label": "bench", "path": str(home / "tree"), "type": "sendreceive", "rescanIntervalS": "3600",
        "fsWatcherEnabled": "true", "fsWatcherDelayS": "1", "ignorePerms": "false", "autoNormalize": "true",
    })  # fmt: skip
    for other, identity in enumerate(ids):
        ET.SubElement(folder, "device", {"id": identity})
        device = ET.SubElement(config, "device", {"id": identity, "name": f"end{other}", "compression": "metadata"})
        ET.SubElement(device, "address").text = f"tcp://127.0.0.1:{ports[other][0]}"
    gui = _only(config, "gui")
    _only(gui, "address").text = f"127.0.0.1:{ports[number][1]}"
    _only(gui, "apikey").text = "bench"
    options = _only(config, "options")
    for name, value in {
        "listenAddress": f"tcp://127.0.0.1:{ports[number][0]}", "globalAnnounceEnabled": "false",
        "localAnnounceEnabled": "false", "relaysEnabled": "false", "natEnabled": "false", "startBrowser": "false",
        "urAccepted": "-1", "autoUpgradeIntervalH": "0", "crashReportingEnabled": "false", "setLowPriority": "false",
        "reconnectionIntervalS": "1", "stunKeepaliveStartS": "0",
    }.items():  # fmt: skip
        _only(options, name).text = value
    tree.write(home / "config.xml")


def _only(parent: ET.Element, name: str) -> ET.Element:
    for extra in parent.findall(name)[1:]:
        parent.remove(extra)
    found = parent.find(name)
    return ET.SubElement(parent, name) if found is None else found


def _connected(pair: SyncthingPair) -> bool:
    if any(process.poll() is not None for process in pair.processes):
        raise RuntimeError(f"Syncthing ended early; see {pair.send.parent}/log.txt and {pair.receive.parent}/log.txt")
    try:
        links = _rest(pair.port, pair.key, "/rest/system/connections")["connections"]
    except OSError:
        return False  # It does not listen yet.
    return any(link["connected"] for link in links.values())


def _rest(port: int, key: str, path: str, method: str = "GET") -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers={"X-API-Key": key})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        body = answer.read()
    return json.loads(body) if body.strip() else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
