"""A small host for one hostile job: secrets, a named dataset, and the facts by which an escape is recognised."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from syftd.jobs.sandbox import Limits, Result, Spec, run

OTHER_UID = 54_321
"""An unprivileged uid without an account, for the tests that are started by root but shall not be root."""

SMALL = Limits(wall_seconds=10, memory_mb=200, pids=48, output_mb=8, output_files=200, log_kb=64)


@dataclass
class Ran:
    """A run's result together with what it left on the host."""

    result: Result
    out: Path

    @property
    def stdout(self) -> str:
        return (self.out / "stdout.txt").read_text("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return (self.out / "stderr.txt").read_text("utf-8", "replace")

    def kept(self) -> list[str]:
        top = self.out / "outputs"
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())

    def refused(self) -> dict[str, str]:
        return dict(self.result.refused)


class World:
    """A throw-away host below one folder. `canary` is a text that must never come out of a job."""

    def __init__(self, top: Path) -> None:
        top.chmod(0o755)
        self.top = top
        self.canary = "CANARY-" + secrets.token_hex(8)
        self.token = "tk" + secrets.token_hex(6)
        self.home = top / "home"
        (self.home / ".ssh").mkdir(parents=True)
        self.key = self.home / ".ssh" / "id_ed25519"
        self.key.write_text(self.canary)
        self.rows = top / "named" / "rows.csv"
        self.rows.parent.mkdir()
        self.rows.write_text("a,b\n1,2\n")
        self.unnamed = top / "unnamed"
        self.unnamed.mkdir()
        (self.unnamed / "rows.csv").write_text(self.canary)
        self._runs = 0

    def job(self, script: str, **files: str) -> Path:
        self._runs += 1
        job = self.top / f"job{self._runs}"
        job.mkdir()
        (job / "run.sh").write_text(script)
        for name, content in files.items():
            (job / name).write_text(content)
        return job

    def run(self, script: str, limits: Limits = SMALL, **more: object) -> Ran:
        """Runs a script with the named dataset; `more` are further fields of the spec."""
        job = self.job(script)
        out = self.top / f"out{self._runs}"
        spec = Spec(job=job, data={"named": self.rows.parent}, limits=limits, **more)  # type: ignore[arg-type]
        return Ran(run(spec, out=out), out)


def python(body: str) -> str:
    """A run.sh that runs `body` with the system's Python."""
    return f"exec /usr/bin/python3 - <<'PY'\n{body}\nPY\n"


def command_as_user(arguments: list[str]) -> list[str]:
    """A command line that runs Python with `arguments` as an ordinary user, whoever we are."""
    if os.getuid() != 0:
        return [sys.executable, *arguments]
    # Root's own interpreter may lie where only root can reach it.
    interpreter = next(path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists())
    drop = ["setpriv", "--reuid", str(OTHER_UID), "--regid", str(OTHER_UID), "--clear-groups"]
    return [*drop, interpreter, "-B", *arguments]


def alive_with(token: str) -> list[int]:
    """The pids of living processes that carry `token` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if token.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def plain_bwrap(job: Path, data: Path, environment: dict[str, str]) -> str:
    """The log of a job in bubblewrap as one would type it, without our runner."""
    bwrap = shutil.which("bwrap")
    assert bwrap is not None
    options = "--unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib"
    options += " --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --chdir /job"
    command = [bwrap, *options.split(), "--bind", str(job), "/job", "--ro-bind", str(data), "/data/named"]
    done = subprocess.run(
        [*command, "/bin/bash", "run.sh"], capture_output=True, timeout=30, check=False, env=environment
    )
    return done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
