"""Bringing the frozen job and the datasets within a run's reach without touching the owner's files.

The job travels as an archive in sealed memory, so neither its host path nor its modes matter inside. Datasets are bound
where they lie; when the runner drops from root to another uid, a dataset that this uid may not read is copied for it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from syftd.errors import UserError
from syftd.jobs.sandbox.spec import MEGABYTE
from syftd.jobs.sandbox.view import SCRATCH_MB

_MOST_ENTRIES: Final = 50_000


@dataclass(frozen=True, slots=True)
class JobSize:
    """What the frozen folder amounts to. `odd` names entries that are neither files nor folders; they are left out."""

    content_bytes: int
    entries: int
    odd: tuple[str, ...]

    @property
    def fits_in_memory(self) -> bool:
        return self.content_bytes <= SCRATCH_MB * MEGABYTE and self.entries <= _MOST_ENTRIES

    @property
    def scratch_bytes(self) -> int:
        """The size of the memory file system that holds a copy of the job and leaves room to write."""
        held = self.content_bytes + self.entries * 4096 if self.fits_in_memory else 0
        return held + SCRATCH_MB * MEGABYTE


def measure(job: Path) -> JobSize:
    """Looks at every entry of the frozen folder, without following links."""
    size = entries = 0
    odd: list[str] = []
    for entry in _entries(job):
        entries += 1
        kind = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(kind.st_mode):
            size += kind.st_size
        elif not stat.S_ISDIR(kind.st_mode):
            odd.append(os.path.relpath(entry.path, job))
    return JobSize(size, entries, tuple(odd))


def _entries(top: Path) -> Iterator[os.DirEntry[str]]:
    """Every entry below `top`, folders before what they hold, in the order of names."""
    with os.scandir(top) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))


def memory_file(name: str, content: bytes) -> int:
    """A descriptor at the start of `content`, held in memory that nobody can change any more."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        return _sealed(descriptor)
    finally:
        os.close(descriptor)


def _sealed(descriptor: int) -> int:
    """Seals a memory file and opens it anew for reading, so that the run does not share our position or our rights."""
    import fcntl

    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def archive(job: Path) -> int:
    """A descriptor of a tar archive of the job's files and folders; links and special files are left out.

    Owners are not carried over; modes become plain ones that keep only the executable bit.
    """
    descriptor = os.memfd_create("syftd-job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            _write_archive(job, file)
        return _sealed(descriptor)
    finally:
        os.close(descriptor)


def _write_archive(job: Path, file: IO[bytes]) -> None:
    import tarfile

    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in _entries(job):
            member = tarfile.TarInfo(os.path.relpath(entry.path, job))
            if entry.is_dir(follow_symlinks=False):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                member.mtime = int(entry.stat(follow_symlinks=False).st_mtime)
                tar.addfile(member)
            elif entry.is_file(follow_symlinks=False):
                opened = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                with os.fdopen(opened, "rb") as content:
                    found = os.fstat(content.fileno())
                    member.size, member.mtime = found.st_size, int(found.st_mtime)
                    member.mode = 0o755 if found.st_mode & 0o100 else 0o644
                    tar.addfile(member, content)


def readable_by(uid: int, gid: int, top: Path) -> bool:
    """Whether a process with this uid and gid, and no other rights, can read everything below `top`.

    The way to `top` does not count, since it is bound directly. Only mode bits are consulted; where an access list
    takes away more, the job sees a file that it cannot open.
    """
    if not _allows(top.stat(), uid, gid):
        return False
    if not top.is_dir():
        return True
    kinds = (entry.stat(follow_symlinks=False) for entry in _entries(top))
    return all(stat.S_ISLNK(kind.st_mode) or _allows(kind, uid, gid) for kind in kinds)


def _allows(found: os.stat_result, uid: int, gid: int) -> bool:
    need = 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
    if found.st_uid == uid:
        granted = found.st_mode >> 6
    elif found.st_gid == gid:
        granted = found.st_mode >> 3
    else:
        granted = found.st_mode
    return granted & need == need


def private_copy(source: Path, into: Path) -> Path:
    """Copies a file or folder so that everybody who reaches the copy may read it: links as links, special files not.

    The caller keeps `into` closed to others. Raises UserError when `source` vanishes while it is copied.
    """
    target = into / "copy"
    try:
        _copy(source, target)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} vanished while it was copied for the job", "Run the job again.") from error
    return target


def _copy(source: Path, target: Path) -> None:
    kind = source.lstat().st_mode
    if stat.S_ISDIR(kind):
        target.mkdir(mode=0o700)
        for name in sorted(os.listdir(source)):
            _copy(source / name, target / name)
        target.chmod(0o755)
    elif stat.S_ISLNK(kind):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(kind):
        shutil.copyfile(source, target, follow_symlinks=False)
        target.chmod(0o755 if kind & 0o111 else 0o644)
