"""One person's daemon as a process of its own, driven through the command line as that person would.

The demonstration, the journeys among the tests and the benchmarks all start daemons with this class.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from syftd.errors import NotRunning, SyftdError
from syftd.seams import sleep_until

READY_SECONDS = 30.0
STOP_SECONDS = 45.0
COMMAND_SECONDS = 120.0
TAIL_LINES = 15


class CommandFailed(SyftdError):
    """A syftd command ended with an exit code that was not expected. `code` is that exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Waited(SyftdError):
    """A condition did not come true in time."""


class Daemon:
    """A datasite's daemon with its own home, talking through the shared folder `folder`.

    `home` is what `--home` gets; the data folder is `home/SyftBox` unless `data` says otherwise. Everything the process
    prints goes to a file beside `home`, so that it is at hand when something fails.
    """

    def __init__(self, home: Path, email: str, folder: Path, data: Path | None = None) -> None:
        self.home = home
        self.email = email
        self.folder = folder
        self.data = data or home / "SyftBox"
        self.output = home.with_name(home.name + ".out")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def own(self) -> Path:
        """The own datasite."""
        return self.data / "datasites" / self.email

    def mirror(self, of: str) -> Path:
        """Where the datasite of the peer `of` appears."""
        return self.data / "datasites" / of

    @property
    def pid(self) -> int:
        """The running process; raises NotRunning when there is none."""
        if self.process is None or self.process.poll() is not None:
            raise NotRunning(f"the daemon of {self.email} is not running", self.last_words())
        return self.process.pid

    def command(self, *words: str) -> list[str]:
        """The full command line for `syftd WORDS`."""
        return [sys.executable, "-m", "syftd", "--home", str(self.home), *words]

    def init(self) -> None:
        """Makes the home, the configuration and the datasite."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home.parent.mkdir(parents=True, exist_ok=True)
        self.say("init", "--email", self.email, "--data", str(self.data), "--transport", f"folder:{self.folder}")

    def start(self, timeout: float = READY_SECONDS) -> None:
        """Starts `syftd run` and returns when it has said READY; raises SyftdError with its last words otherwise."""
        begin = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command("run"), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=clean_environment(), cwd=self.home.parent, start_new_session=True,
            )  # fmt: skip
        process = self.process

        def ready() -> bool:
            with self.output.open("rb") as output:
                output.seek(begin)
                return any(line.startswith(b"READY") and line.endswith(b"\n") for line in output)

        sleep_until(lambda: ready() or process.poll() is not None, timeout=timeout)
        if not ready():
            ended = process.poll()
            self.kill()
            state = f"was not READY within {timeout:.0f} s" if ended is None else f"ended at once, exit code {ended}"
            raise SyftdError(f"the daemon of {self.email} {state}", self.last_words())

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Asks the process to end (SIGTERM) and returns its exit code; kills it and raises Waited when it lingers."""
        process, self.process = self.process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Waited(f"the daemon of {self.email} did not stop within {timeout:.0f} s", self.last_words()) from None

    def kill(self) -> None:
        """Ends the process at once, as a power cut would (SIGKILL)."""
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.wait()

    def say(self, *words: str, ok: Collection[int] = (0,), timeout: float = COMMAND_SECONDS) -> str:
        """Runs one command and returns what it printed for people."""
        try:
            ended = subprocess.run(
                self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                env=clean_environment(), cwd=self.home.parent, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Waited(f"“syftd {' '.join(words)}” ({self.email}) did not end within {timeout:.0f} s") from None
        stdout, stderr = (stream.decode("utf-8", "replace") for stream in (ended.stdout, ended.stderr))
        if ended.returncode not in ok:
            said = (stderr.strip() or stdout.strip() or "it said nothing")[-2000:]
            raise CommandFailed(
                f"“syftd {' '.join(words)}” ({self.email}) ended with exit code {ended.returncode}: {said}",
                ended.returncode,
            )
        return stdout

    def cli(self, *words: str, ok: Collection[int] = (0,), timeout: float = COMMAND_SECONDS) -> Any:
        """Runs one command with --json and returns the parsed answer (None when it prints nothing).

        Raises CommandFailed unless the exit code is in `ok`, Waited when it takes longer than `timeout` seconds.
        """
        answer = self.say("--json", *words, ok=ok, timeout=timeout)
        if not answer.strip():
            return None
        try:
            return json.loads(answer)
        except ValueError as error:
            raise SyftdError(f"“syftd --json {' '.join(words)}” printed no JSON ({error}): {answer[:500]!r}") from None

    def wait_for(self, condition: Callable[[], Any], timeout: float, what: str, every: float = 0.02) -> Any:
        """Returns the first true value of `condition`, asked every `every` seconds.

        Raises Waited after `timeout` seconds, and at once when the daemon has died meanwhile.
        """
        found: list[Any] = []

        def met() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise NotRunning(
                    f"the daemon of {self.email} ended with exit code {self.process.poll()} while waiting for {what}",
                    self.last_words(),
                )
            value = condition()
            if value:
                found.append(value)
            return bool(value)

        if not sleep_until(met, timeout=timeout, every=every):
            raise Waited(f"{self.email} waited {timeout:.0f} s in vain for {what}", self.last_words())
        return found[0]

    def last_words(self, lines: int = TAIL_LINES) -> str:
        """The end of what the daemon printed and logged."""
        logs = [self.output, *sorted(self.home.glob("**/log/*.log"))]
        tails = []
        for log in logs:
            if log.is_file():
                text = log.read_bytes()[-20_000:].decode("utf-8", "replace").splitlines()[-lines:]
                if text:
                    tails.append(f"--- the last lines of {log} ---\n" + "\n".join(map(_shortened, text)))
        return "\n".join(tails) or f"--- the daemon of {self.email} printed nothing ---"


def _shortened(line: str) -> str:
    """A line of a JSON log with its trace cut down to what was raised and where; any other line as it is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "exception" not in entry:
        return line
    trace = str(entry.pop("exception")).splitlines()
    return "\n    ".join([json.dumps(entry, ensure_ascii=False), *trace[-3:]])


def clean_environment() -> dict[str, str]:
    """The environment without SYFTD_* settings, so that a person's own daemon and this one stay apart."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYFTD_")}
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
        kept.pop(name, None)  # They belong to the unit that started us; a daemon feeding them would speak for it.
    # The daemons run the very syftd that started them, also from a checkout that is not installed.
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (here, kept.get("PYTHONPATH", "")) if part)
    return kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
