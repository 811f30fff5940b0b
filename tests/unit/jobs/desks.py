"""A desk for tests: one datasite on a real folder, pools that run when they are told to, and a sandbox that is a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syftd.config import JobSettings
from syftd.jobs import sandbox
from syftd.jobs.desk import JobDesk
from syftd.jobs.sandbox import Result, Spec
from syftd.names import Email, RelPath
from syftd.seams import SystemRandom
from syftd.state import events, files, jobs
from syftd.state.db import in_memory
from syftd.state.jobs import JobRow, job_id
from syftd.tree.disk import RealDisk

ME, PEER = Email("me@x.org"), Email("peer@y.org")
Done = Callable[[Any, BaseException | None], None]


class StillClock:
    """Time that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def now(self) -> float:
        self.at += 1
        return self.at

    def monotonic(self) -> float:
        return self.at


class WaitingPool:
    """Work waits until `run`."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Done]] = []

    def submit(self, work: Callable[[], Any], done: Done) -> None:
        self.waiting.append((work, done))

    def close(self) -> None:
        self.waiting.clear()

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work, done in waiting:
            try:
                result = work()
            except Exception as error:
                done(None, error)
            else:
                done(result, None)


class Desk:
    """The jobs of ME. `outputs` is what the next run leaves, `told` whether it is to end well."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = StillClock()
        self.db = in_memory()
        self.data = place / "SyftBox"
        self.kept = place / "jobs"
        self.disk = RealDisk(self.data, self.clock, SystemRandom())
        self.disk.make_private_dir(ME, "")
        self.pool, self.copying = WaitingPool(), WaitingPool()
        self.posted: list[Any] = []
        self.specs: list[Spec] = []
        self.outputs: dict[str, bytes] = {"table.csv": b"1,2\n"}
        self.exit_code = 0
        monkeypatch.setattr(sandbox, "run", self._sandbox)
        self.desk = self.build()

    def build(self) -> JobDesk:
        """A desk on what is there, as after a restart."""
        return JobDesk(
            me=ME, db=self.db, disk=self.disk, data=self.data, folder=self.kept, clock=self.clock, limits=JobSettings(),
            pool=self.pool, post=self.posted.append, stirred=lambda site, path: None,
            send_folder=lambda owner, folder: True, copying=self.copying,
        )  # fmt: skip

    def _sandbox(self, spec: Spec, *, out: Path, cancel: object) -> Result:
        self.specs.append(spec)
        for path, content in self.outputs.items():
            place = out / "outputs" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        (out / "stdout.txt").write_bytes(b"printed\n")
        reason = f"exit {self.exit_code}"
        return Result(self.exit_code, None, reason, 1.0, 1.0, 1.0, 8, False, (), (), (), "bubblewrap", 0.0)

    # -- what peers and time do --------------------------------------------------------------------------------------

    def arrive(self, name: str = "mean", **contents: str) -> JobRow:
        """PEER's job folder of that name holds exactly these files now (`run_sh` for run.sh), and is noticed."""
        folder = f"app_data/job/inbox/{PEER}/{name}"
        gone = [row.path for row in files.below(self.db, ME, folder)]
        files.drop(self.db, ME, gone)
        for path in gone:
            digest, stat = self.disk.digest(ME, path)
            self.disk.remove(ME, path, expected=digest, known=stat)
        for name_below, text in contents.items():
            self.accept(f"{folder}/{name_below.replace('_', '.')}", text.encode())
        self.desk.changed(ME, [RelPath(f"{folder}/run.sh")])
        return self.job(name)

    def accept(self, path: str, content: bytes) -> None:
        """A file of mine, on the disk and known as it is."""
        self.disk.write_own(ME, path, content)
        digest, stat = self.disk.digest(ME, path)
        files.put(self.db, ME, [files.FileRow(RelPath(path), path, digest, *stat, settled=True)])

    def ran(self, name: str = "mean") -> JobRow:
        """Everything that waits in the pools is done, and what came of it is handled."""
        while self.pool.waiting or self.copying.waiting or self.posted:
            self.pool.run()
            self.copying.run()
            posted, self.posted[:] = list(self.posted), []
            for work in posted:
                assert self.desk.handle(work)
        return self.job(name)

    # -- what can be seen --------------------------------------------------------------------------------------------

    def job(self, name: str = "mean") -> JobRow:
        found = jobs.get(self.db, job_id(ME, PEER, name))
        assert found is not None
        return found

    def approve(self, name: str = "mean", *, release: bool = False, **more: Any) -> JobRow:
        return self.desk.approve(self.job(name), release=release, **{"digest": None, "unsafe": False, **more})

    def review(self, name: str = "mean") -> dict[str, bytes]:
        """The files in the review folder, without what says how the job stands."""
        top = self.data / "datasites" / ME / "app_data/job/review" / PEER / name
        found = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        return {path: content for path, content in found.items() if path != "state.yaml"}

    def told(self, name: str = "mean") -> str:
        """What state.yaml says."""
        place = self.data / "datasites" / ME / "app_data/job/review" / PEER / name / "state.yaml"
        return next(line for line in place.read_text().splitlines() if line.startswith("status:"))[len("status: ") :]

    def record(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in events.record_after(self.db, 0, 1000) if line["kind"] == kind]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)
