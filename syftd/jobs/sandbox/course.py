"""The values of a supervised run: its phases, our ends of its pipes, how it went, and that it never began."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """How far the run has come."""

    STARTING = "starting"
    RUNNING = "running"
    COLLECTING = "collecting"


class FailedStart(Exception):
    """The sandbox never reached the job; `said` is what its programs wrote to stderr."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@dataclass(frozen=True, slots=True)
class Channels:
    """Our ends of the pipes of a started sandbox; the supervision closes them."""

    stdout: int
    stderr: int
    export: int
    told: int
    info: int
    gate: int


@dataclass(frozen=True, slots=True)
class Course:
    """How it went. `ended_by` is why the runner ended the job, '' when the job ended by itself."""

    exit_code: int | None
    ended_by: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    collected: bool
