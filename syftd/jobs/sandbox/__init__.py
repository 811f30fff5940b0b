"""Running a job that somebody else wrote beside private data: confined, limited, and with one guarded way out.

`run(Spec(...), out=...)` is the whole of it; `probe()` tells whether this machine can make a sandbox at all. A *view*
is what the job sees, the *filter* what it may ask of the kernel, *inside* what runs as its first process, the *watch*
what it uses, the *export* what it leaves. Known gaps: memory in kernel buffers (pipes, sockets) is not counted, since
that takes a control group; a dataset's host path can be read in /proc/self/mountinfo inside.
"""

from __future__ import annotations

from syftd.jobs.sandbox.probe import ProbeResult, probe
from syftd.jobs.sandbox.runner import run
from syftd.jobs.sandbox.spec import Limits, Output, RefusedOutput, Result, SandboxUnavailable, Spec

__all__ = ["Limits", "Output", "ProbeResult", "RefusedOutput", "Result", "SandboxUnavailable", "Spec", "probe", "run"]
