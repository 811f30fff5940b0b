"""What happens in the demonstration, step by step, each with the time it took."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from syftd.demo.daemon import Daemon
from syftd.errors import SyftdError
from syftd.seams import Clock

DATASET = "heart_failure"
JOB = "survival"
STEP_SECONDS = 60.0
"""How long a step may take before the demonstration gives up; each takes a second or so."""


@dataclass(frozen=True, slots=True)
class Story:
    """The owner, the researcher, where they live, and how to tell what happens (`say` gets one line or more)."""

    owner: Daemon
    researcher: Daemon
    place: Path
    clock: Clock
    say: Callable[[str], Any]

    def tell(self) -> None:
        """Plays every step in order; raises SyftdError when one does not come to its end."""
        begin = self.clock.monotonic()
        self.say("Two people, two daemons, one shared folder; no server.\n")
        self._start()
        self._meet()
        self._show_sample()
        job = self._submit()
        self._review(job)
        self._execute(job)
        result = self._release(job)
        self.say(f"\nWhat {self.researcher.email} reads in {result.relative_to(self.researcher.data.parent)}:\n")
        self.say(_indent(result.read_text(encoding="utf-8")))
        self.say(
            f"\nDone in {self.clock.monotonic() - begin:.1f} s. The table of patients never left "
            f"{self.owner.own.relative_to(self.place) / 'private'}."
        )

    @contextmanager
    def _step(self, text: str) -> Iterator[None]:
        begin = self.clock.monotonic()
        yield
        self.say(f"{self.clock.monotonic() - begin:6.2f} s  {text}")

    def _start(self) -> None:
        with self._step(f"{self.owner.email} and {self.researcher.email} each start a daemon"):
            for one in (self.owner, self.researcher):
                one.init()
                one.start()

    def _meet(self) -> None:
        owner, researcher = self.owner, self.researcher
        with self._step("The researcher asks to be a peer, the owner accepts"):
            researcher.cli("peers", "add", owner.email)
            owner.wait_for(
                lambda: _peer(owner, researcher.email) == "requested_by_peer", STEP_SECONDS, "the researcher's request"
            )
            owner.cli("peers", "accept", researcher.email)
            researcher.wait_for(
                lambda: _peer(researcher, owner.email) == "accepted", STEP_SECONDS, "the owner's acceptance"
            )

    def _show_sample(self) -> None:
        owner, researcher = self.owner, self.researcher
        public, private = f"public/{DATASET}", f"private/{DATASET}"
        told = "The owner shares a made-up sample; it appears at the researcher's"
        with _material("clinic") as clinic, self._step(told):
            secret = owner.own / private
            secret.mkdir(parents=True)
            shutil.copyfile(clinic / "heart_failure.csv", secret / "heart_failure.csv")
            shown = owner.own / public
            shown.mkdir(parents=True)
            for name in ("sample.csv", "README.md"):
                shutil.copyfile(clinic / name, shown / name)
            owner.cli("share", public, "--with", researcher.email)
            for name in ("sample.csv", "README.md"):
                same = partial(_same, clinic / name, researcher.mirror(owner.email) / public / name)
                researcher.wait_for(same, STEP_SECONDS, f"the owner's {public}/{name}")
        if (researcher.mirror(owner.email) / "private").exists():
            raise SyftdError("the owner's private folder has appeared at the researcher's: this must never happen")

    def _submit(self) -> str:
        owner, researcher = self.owner, self.researcher
        told = "The researcher sends run.sh and analysis.py; the owner has them to review"
        with _material("job") as job, self._step(told):
            words = ("--to", owner.email, "--name", JOB, "--data", DATASET, str(job))
            submitted = researcher.cli("jobs", "submit", *words)
            return str(
                owner.wait_for(
                    lambda: next((one["id"] for one in _jobs(owner) if one["name"] == JOB), None),
                    STEP_SECONDS,
                    f"the job {_id(submitted)} to arrive",
                )
            )

    def _review(self, job: str) -> None:
        self.say(f"\nWhat {self.owner.email} sees with “syftd jobs show {job}”:\n")
        self.say(_indent(self.owner.say("jobs", "show", job)))
        waiting = self.owner.data / "inbox" / self.researcher.email / JOB
        if not (waiting / "analysis.py").is_file():
            raise SyftdError(f"the job's files are not to be read in {waiting}")
        self.say(f"\n    Every file can be read in {waiting.relative_to(self.owner.home)}/\n")

    def _execute(self, job: str) -> None:
        owner = self.owner
        with self._step("The owner approves exactly these bytes; they run in the sandbox, without network"):
            owner.cli("jobs", "approve", job)
            owner.wait_for(lambda: _state(owner, job) in ("done", "failed"), STEP_SECONDS, "the job to end")
        if _state(owner, job) != "done":
            raise SyftdError(f"the job {job} failed", owner.say("jobs", "logs", job, ok=range(256)))
        held_back = self._result()
        if held_back.exists():
            raise SyftdError(f"{held_back} is there before the owner has released it: this must never happen")

    def _release(self, job: str) -> Path:
        result = self._result()
        with self._step("The owner releases the outputs; the result is at the researcher's"):
            self.owner.cli("jobs", "release", job)
            self.researcher.wait_for(result.is_file, STEP_SECONDS, f"{result.name} to arrive")
        return result

    def _result(self) -> Path:
        return self.researcher.data / "outbox" / self.owner.email / JOB / "outputs" / "result.json"


@contextmanager
def _material(name: str) -> Iterator[Path]:
    with as_file(files("syftd.demo") / name) as folder:
        yield folder


def _same(sent: Path, arrived: Path) -> bool:
    return arrived.is_file() and arrived.read_bytes() == sent.read_bytes()


def _peer(one: Daemon, email: str) -> str:
    return next((str(peer["state"]) for peer in one.cli("peers", "list") if peer["email"] == email), "")


def _jobs(one: Daemon) -> list[dict[str, Any]]:
    return list(one.cli("jobs", "list"))


def _state(one: Daemon, job: str) -> str:
    return next((str(each["state"]) for each in _jobs(one) if each["id"] == job), "")


def _id(answer: Any) -> str:
    first = answer[0] if isinstance(answer, list) and answer else answer
    return str(first.get("id", "")) if isinstance(first, dict) else ""


def _indent(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.strip("\n").splitlines())
