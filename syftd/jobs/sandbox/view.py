"""What a job sees: file system, environment and namespaces, as arguments for bubblewrap. Pure but for `stat`.

An allow list: programs and libraries read-only, a made-up /etc, the job, the named datasets, and four size-capped
memory file systems to write to. The root itself and /dev are sealed read-only at the end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syftd.jobs.sandbox.spec import MEGABYTE, Limits

JOB_ID: Final = 1000
"""The uid and gid that a job believes to have."""

SCRATCH_MB: Final = 64
"""A frozen job up to this size is copied into memory, where the job may also write."""

_ETC: Final[Mapping[str, bytes]] = {
    "passwd": b"job:x:%d:%d::/tmp:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n" % (JOB_ID, JOB_ID),
    "group": b"job:x:%d:\nnogroup:x:65534:\n" % JOB_ID,
    "hosts": b"127.0.0.1 localhost job\n::1 localhost\n",
    "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}
# What programs under /usr point to through /etc: the linker's index, Debian's alternatives, R's start-up files, fonts.
_ETC_FROM_HOST: Final = ("ld.so.cache", "alternatives", "R", "fonts")
_PROGRAM_FOLDERS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

FIXED_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}


@dataclass(frozen=True, slots=True)
class Bind:
    """One host path shown read-only at a place inside."""

    source: Path
    place: str


@dataclass(frozen=True, slots=True)
class View:
    """The part of the view that differs from run to run. `scratch_bytes` is the size of the job's working directory."""

    limits: Limits
    environment: Mapping[str, str]
    binds: tuple[Bind, ...]
    scratch_bytes: int


def etc_files() -> Mapping[str, bytes]:
    """Names and contents of the made-up files in /etc."""
    return _ETC


def dataset_binds(data: Mapping[str, Path], owner: str | None) -> list[Bind]:
    """Where each named dataset is shown: /data/<name>, and the path that jobs of the existing network look at."""
    binds = [Bind(place, f"/data/{name}") for name, place in data.items()]
    if owner is not None:
        binds += [Bind(place, f"/syftbox/{owner}/private/syft_datasets/{name}") for name, place in data.items()]
    return binds


def arguments(view: View, etc: Mapping[str, int], seccomp: int, info: int, gate: int) -> list[str]:
    """bubblewrap's options, without the program and the command. `etc` maps a file's name to the descriptor holding it.

    The order matters: later mounts lie on earlier ones, and the read-only seals come last.
    """
    words = ["--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(JOB_ID), "--gid", str(JOB_ID)]
    words += ["--hostname", "job", "--as-pid-1", "--die-with-parent", "--new-session", "--clearenv"]
    words += ["--cap-drop", "ALL"]
    words += ["--seccomp", str(seccomp), "--info-fd", str(info), "--block-fd", str(gate)]
    for name, value in {**FIXED_ENVIRONMENT, **view.environment}.items():
        words += ["--setenv", name, value]
    words += _programs()
    for name, descriptor in etc.items():
        words += ["--perms", "0644", "--file", str(descriptor), f"/etc/{name}"]
    for name in _ETC_FROM_HOST:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    # Reads zeros like /dev/zero, but cannot be mapped: that would be shared memory which nobody can count.
    words += [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--dev-bind",
        "/dev/full",
        "/dev/zero",
        "--dir",
        "/sys/devices/system",
    ]
    words += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu", "--dir", "/data", "--dir", "/var"]
    half = max(view.limits.memory_mb * MEGABYTE // 2, MEGABYTE)
    words += _memory("/tmp", half, "1777") + _memory("/dev/shm", half, "1777") + ["--symlink", "/tmp", "/var/tmp"]
    words += _memory("/job", view.scratch_bytes, "0755")
    for bind in view.binds:
        words += ["--ro-bind", str(bind.source), bind.place]
    words += _memory("/job/outputs", view.limits.output_mb * MEGABYTE, "0755")
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/job"]


def _memory(place: str, size: int, mode: str) -> list[str]:
    return ["--perms", mode, "--size", str(size), "--tmpfs", place]


def _programs() -> list[str]:
    """/usr and the top-level folders of programs, which are links into /usr on most systems and folders on some."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in _PROGRAM_FOLDERS:
        place = f"/{name}"
        try:
            kind = os.lstat(place).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(kind):
            words += ["--symlink", str(Path(place).readlink()), place]
        else:
            words += ["--ro-bind", place, place]
    return words
