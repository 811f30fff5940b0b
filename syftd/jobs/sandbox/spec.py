"""What a run is asked for and what it came to: `Limits`, `Spec`, `Result`, and the error when no sandbox can be had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

from syftd.errors import SyftdError, UserError

Stream = Literal["stdout", "stderr"]
Mode = Literal["bubblewrap", "unsafe"]

MEGABYTE: Final = 1024 * 1024
NOBODY: Final = 65534

_DATASET_NAME = re.compile(r"(?!\.)[^/\x00-\x1f\x7f\\]{1,128}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_OWNER = re.compile(r"(?!\.)[A-Za-z0-9!#$%&'*+=?^_`{|}~.@-]{1,254}", re.ASCII)


class Stop(Protocol):
    """Anything that says whether the run shall end early; a `threading.Event` is one."""

    def is_set(self) -> bool: ...


class SandboxUnavailable(SyftdError):
    """This machine cannot make a sandbox now; nothing was run. `remedy` is the cure."""

    exit_code = 125


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. Exceeding memory, wall clock or CPU ends it; logs and outputs are cut.

    `wall_seconds` real time · `memory_mb` private memory of all its processes together with what it keeps in /tmp,
    /dev/shm (so with its shared memory) and its working directory · `pids` processes and threads · `output_mb` size of
    outputs/ · `output_files` files and folders kept of outputs/ (making far more ends it) · `log_kb` kept of stdout and
    stderr together · `cpu_seconds` processor time of the whole job.
    """

    wall_seconds: float = 300
    memory_mb: int = 1024
    pids: int = 256
    output_mb: int = 256
    output_files: int = 10_000
    log_kb: int = 1024
    cpu_seconds: int | None = None

    def __post_init__(self) -> None:
        for name in ("wall_seconds", "memory_mb", "pids", "output_mb", "output_files", "log_kb", "cpu_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 2**40:
                raise UserError(f"the limit {name} is {value}, which is not a positive number", f"Set {name} above 0.")


@dataclass(frozen=True, slots=True)
class Spec:
    """One run.

    `job` is the frozen copy; the job sees it at /job. `data` maps a dataset's name to its folder or file, read-only at
    /data/<name>, and also at /syftbox/<owner>/private/syft_datasets/<name> when `owner` is set. `env` is added to PATH,
    HOME, LANG and TZ. `run_as` is the uid that a runner started by root drops to (65534 when not given).
    """

    job: Path
    data: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    limits: Limits = Limits()
    unsafe: bool = False
    run_as: int | None = None
    owner: str | None = None

    def check(self) -> None:
        """Raises UserError for a spec that cannot be run as it is written."""
        if not (self.job / "run.sh").is_file() or (self.job / "run.sh").is_symlink():
            raise UserError(f"the job folder {self.job} has no run.sh", "Put a shell script named run.sh at its top.")
        outputs = self.job / "outputs"
        if outputs.is_symlink() or (outputs.exists() and not outputs.is_dir()):
            raise UserError(f"{outputs} is not a folder", "Remove it; the run provides an empty outputs/ by itself.")
        for name, place in self.data.items():
            if not _DATASET_NAME.fullmatch(name):
                raise UserError(f"“{name}” cannot be a dataset's name in a job", "Use letters, digits, '-' and '_'.")
            if not place.exists():
                raise UserError(f"dataset {name}: {place} does not exist", "Check the path, or leave the dataset out.")
        for variable, value in self.env.items():
            if not _VARIABLE_NAME.fullmatch(variable) or "\0" in value:
                raise UserError(f"“{variable}” cannot be set as an environment variable", "Rename or remove it.")
        if self.owner is not None and not _OWNER.fullmatch(self.owner):
            raise UserError(f"“{self.owner}” is not an owner's e-mail address", "Write it like name@example.org.")
        if self.run_as == 0:
            raise UserError("a job is never run as root", "Set run_as to an unprivileged user, or leave it out.")


class Output(NamedTuple):
    """One collected file: path below outputs/, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


class RefusedOutput(NamedTuple):
    """Something the job left in outputs/ that was not collected. `name` is printable, not byte-exact."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to. `exit_code` and `signal` are None when the runner ended it; `reason` is for people.

    `peak_memory_mb` is the highest sum that was seen, by looking every 20 to 50 ms. `notes` tell what was unusual.
    """

    exit_code: int | None
    signal: int | None
    reason: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    log_bytes: int
    log_truncated: bool
    outputs: tuple[Output, ...]
    refused: tuple[RefusedOutput, ...]
    notes: tuple[str, ...]
    mode: Mode
    started_at: float

    @property
    def ok(self) -> bool:
        """The job ended by itself with exit code 0."""
        return self.exit_code == 0
