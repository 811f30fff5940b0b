"""`probe`: makes one real, empty sandbox, with everything a job's run uses, and tells how that went."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from syftd.errors import SyftdError
from syftd.jobs.sandbox.runner import find_bwrap, run
from syftd.jobs.sandbox.spec import Limits, SandboxUnavailable, Spec

_SCRIPT = "set -e\ntest ! -w /usr\ntest ! -e /root/.ssh\necho fine >outputs/fine\n"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether jobs can be confined here. `text` says it, `remedy` is the cure ('' when none is needed)."""

    ok: bool
    version: str
    text: str
    remedy: str

    def require(self) -> None:
        """Raises SandboxUnavailable unless the probe went well."""
        if not self.ok:
            raise SandboxUnavailable(self.text, self.remedy)


def probe() -> ProbeResult:
    """Takes about as long as starting a job (tens of ms); changes nothing; does not raise for a missing sandbox."""
    version = ""
    try:
        bwrap = find_bwrap()
        version = _version(bwrap)
        with tempfile.TemporaryDirectory(prefix="syftd-probe-") as folder:
            job = Path(folder) / "job"
            job.mkdir()
            (job / "run.sh").write_text(_SCRIPT, encoding="ascii")
            limits = Limits(wall_seconds=20, memory_mb=256, output_mb=1, output_files=10)
            result = run(Spec(job=job, limits=limits), out=Path(folder) / "out")
    except SyftdError as error:
        return ProbeResult(False, version, str(error), error.remedy)
    if not result.ok or [output.path for output in result.outputs] != ["fine"]:
        text = f"the sandbox was made, but a trivial job in it failed: {result.reason}"
        return ProbeResult(False, version, text, "Report this with the output of `syftd doctor`.")
    return ProbeResult(True, version, f"jobs run in bubblewrap {version} with a system call filter", "")


def _version(bwrap: str) -> str:
    answer = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False, env={}, timeout=10)
    return answer.stdout.strip().removeprefix("bubblewrap ")
