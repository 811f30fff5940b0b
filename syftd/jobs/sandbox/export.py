"""The way out: a tar stream written inside the sandbox, taken apart here, byte by byte, as a stranger's bytes.

Only plain files and folders with names that a datasite can hold get through; they are created anew below a fresh
folder, so nothing on the host is ever followed, opened or replaced. What is turned away is named with the reason, the
rest is kept.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Final, Protocol

from syftd.errors import DiskFull, ItemError, Malformed, TooLarge
from syftd.jobs.sandbox.spec import Output, RefusedOutput
from syftd.names import PERMISSION_FILE, RelPath

BLOCK: Final = 512
MOST_DEPTH: Final = 40
_MOST_NAME_BYTES: Final = 65_536
_MOST_REFUSALS: Final = 200
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_KINDS: Final = {
    b"1": "it is a hard link", b"2": "it is a symbolic link", b"3": "it is a device", b"4": "it is a device",
    b"6": "it is a named pipe", b"S": "it is a sparse file in a form that is not taken",
}  # fmt: skip


class BrokenArchive(ItemError):
    """The stream is not a tar archive (any more); what came before it is kept."""


class _Digest(Protocol):
    def update(self, content: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


def printable(name: str | bytes) -> str:
    """A name from the job as text that can be shown: undecodable bytes and control characters become escapes."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= 200 else shown[:199] + "…"


class _File:
    """The output file that is being written."""

    def __init__(self, path: RelPath, descriptor: int, parent: int, size: int) -> None:
        self.path, self.descriptor, self.parent, self.size = path, descriptor, parent, size
        self.digest: _Digest = hashlib.sha256()

    def write(self, content: memoryview) -> None:
        self.digest.update(content)
        while content:
            content = content[os.write(self.descriptor, content) :]


class Export:
    """Takes the stream in pieces of any size. `feed` after a fault does nothing; `close` tells what was taken.

    `most_bytes` and `most_entries` (files and folders) bound what is kept.
    """

    def __init__(self, top: Path, *, most_bytes: int, most_entries: int) -> None:
        top.mkdir(mode=0o700)
        self._top = os.open(top, _FOLDER_FLAGS)
        self._most_bytes, self._most_entries = most_bytes, most_entries
        # Skipping what is refused also costs time; a stream far longer than all it may carry is a stalling tactic.
        self._stream_left = 2 * most_bytes + (most_entries + 64) * 16 * BLOCK
        self._buffer = bytearray()
        self._body_left = self._padding = 0
        self._file: _File | None = None
        self._long_name: bytearray | None = None
        self._pending_name: bytes | None = None
        self._taken_bytes = self._taken_entries = 0
        self._folders: set[str] = set()
        self._outputs: list[Output] = []
        self._refused: list[RefusedOutput] = []
        self._unnamed_refusals = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """Nothing that may still come will be looked at."""
        return self._ended

    def feed(self, content: bytes) -> None:
        """Takes the next bytes of the stream. Raises DiskFull when our own disk cannot hold the outputs."""
        if self._ended:
            return
        self._stream_left -= len(content)
        try:
            if self._stream_left < 0:
                raise BrokenArchive("there is far more of it than a run may keep")
            self._buffer += content
            while not self._ended and self._step():
                pass
        except BrokenArchive as fault:
            self._abandon(str(fault))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("no space is left to keep the job's outputs", "Free some space, then rerun.") from error
            raise

    def refuse(self, name: str | bytes, reason: str) -> None:
        """Notes something that was left behind; beyond some 200 names only their count is kept."""
        if len(self._refused) < _MOST_REFUSALS:
            self._refused.append(RefusedOutput(printable(name).removeprefix("./"), reason))
        else:
            self._unnamed_refusals += 1

    def close(self) -> tuple[tuple[Output, ...], tuple[RefusedOutput, ...]]:
        """Ends the collection and tells what was kept and what was refused; call it once."""
        if not self._ended and (self._file is not None or self._body_left or self._buffer):
            self._abandon("the job's end cut them off")
        self._drop_file("it was cut off")
        self._ended = True
        os.close(self._top)
        refused = list(self._refused)
        if self._unnamed_refusals:
            refused.append(RefusedOutput("…", f"and {self._unnamed_refusals} more entries"))
        return tuple(self._outputs), tuple(refused)

    # The stream: headers, bodies, padding.

    def _step(self) -> bool:
        """Consumes what it can; returns whether it got anywhere."""
        if self._body_left:
            return self._take_body()
        if self._padding:
            cut = min(self._padding, len(self._buffer))
            del self._buffer[:cut]
            self._padding -= cut
            return cut > 0
        if len(self._buffer) < BLOCK:
            return False
        header = bytes(self._buffer[:BLOCK])
        del self._buffer[:BLOCK]
        if not any(header):
            self._ended = True
        else:
            self._begin(header)
        return True

    def _take_body(self) -> bool:
        cut = min(self._body_left, len(self._buffer))
        if cut == 0:
            return False
        piece = bytes(self._buffer[:cut])
        del self._buffer[:cut]
        if self._file is not None:
            self._file.write(memoryview(piece))
        elif self._long_name is not None:
            self._long_name += piece
        self._body_left -= cut
        if self._body_left == 0:
            self._finish_body()
        return True

    def _finish_body(self) -> None:
        if self._long_name is not None:
            self._pending_name, self._long_name = bytes(self._long_name).rstrip(b"\0"), None
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file.descriptor)
            os.close(file.parent)
            self._outputs.append(Output(file.path, file.size, file.digest.hexdigest()))

    def _begin(self, header: bytes) -> None:
        _verify(header)
        size = _number(header[124:136])
        kind = header[156:157]
        self._body_left, self._padding = size, -size % BLOCK
        if kind in (b"L", b"K"):
            if size > _MOST_NAME_BYTES:
                raise BrokenArchive("a name in it is longer than any name can be")
            self._long_name = bytearray() if kind == b"L" and size else None
            return
        name = self._pending_name if self._pending_name is not None else header[:100].split(b"\0", 1)[0]
        self._pending_name = None
        if kind in (b"0", b"\0", b"5"):
            if kind == b"5":
                self._body_left = self._padding = 0
            self._admit(name, folder=kind == b"5", mode=_number(header[100:108]), size=size)
        else:
            if kind in (b"1", b"2", b"3", b"4", b"6"):
                self._body_left = self._padding = 0
            self.refuse(name, _KINDS.get(kind, f"its kind {kind!r} is not taken"))

    # The decision about one entry, and what it leaves on disk.

    def _admit(self, name: bytes, *, folder: bool, mode: int, size: int) -> None:
        if name in (b".", b"./"):
            return
        try:
            path = _path(name, folder=folder)
            if mode & 0o7000 and not folder:
                raise Malformed("it has a set-uid, set-gid or sticky bit")
            if self._taken_bytes + size > self._most_bytes and not folder:
                raise TooLarge(f"it would exceed the limit of {self._most_bytes >> 20} MB for all outputs")
            parent = self._enter(path.parts if folder else path.parts[:-1])
            if folder:
                os.close(parent)
            else:
                self._create(path, parent, size)
        except ItemError as refusal:
            self.refuse(name, str(refusal))

    def _count(self) -> None:
        if self._taken_entries >= self._most_entries:
            raise TooLarge(f"there are more than {self._most_entries} files and folders")
        self._taken_entries += 1

    def _enter(self, parts: list[str]) -> int:
        """A descriptor of the folder below the top, made as needed; no part can be a link, since we made them all."""
        current = os.dup(self._top)
        try:
            for depth in range(len(parts)):
                where = "/".join(parts[: depth + 1])
                if where not in self._folders:
                    self._count()
                    try:
                        os.mkdir(parts[depth], 0o700, dir_fd=current)
                    except FileExistsError:
                        raise Malformed("another output already has this name") from None
                    self._folders.add(where)
                inner = os.open(parts[depth], _FOLDER_FLAGS, dir_fd=current)
                os.close(current)
                current = inner
        except BaseException:
            os.close(current)
            raise
        return current

    def _create(self, path: RelPath, parent: int, size: int) -> None:
        try:
            self._count()
            descriptor = os.open(path.name, _NEW_FILE_FLAGS, 0o600, dir_fd=parent)
        except FileExistsError:
            os.close(parent)
            raise Malformed("another output already has this name") from None
        except BaseException:
            os.close(parent)
            raise
        self._taken_bytes += size
        self._file = _File(path, descriptor, parent, size)
        if size == 0:
            self._finish_body()

    def _drop_file(self, reason: str) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.unlink(file.path.name, dir_fd=file.parent)
            os.close(file.descriptor)
            os.close(file.parent)
            self.refuse(file.path, reason)

    def _abandon(self, reason: str) -> None:
        self._drop_file("it was cut off")
        self._ended = True
        self._buffer.clear()
        self.refuse("(the outputs after this point)", reason)


def _path(name: bytes, *, folder: bool) -> RelPath:
    """The output's path; raises Malformed with the reason why it cannot have one."""
    plain = name.removeprefix(b"./")
    if folder:
        plain = plain.removesuffix(b"/")
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("its name is not UTF-8") from None
    path = RelPath.from_disk(text)
    if len(path.parts) > MOST_DEPTH:
        raise Malformed(f"it lies more than {MOST_DEPTH} folders deep")
    # Outputs are released into a datasite, where such a file would change who may read and write there.
    if any(part.casefold() == PERMISSION_FILE for part in path.parts):
        raise Malformed("a permission file cannot be an output")
    return path


def _verify(header: bytes) -> None:
    unsummed = header[:148] + b" " * 8 + header[156:]
    if _number(header[148:156]) != sum(unsummed) or header[257:262] != b"ustar":
        raise BrokenArchive("the stream they came in is damaged")


def _number(field: bytes) -> int:
    """A number of a header: octal text, or big-endian bytes when the top bit is set."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
    elif field[0] & 0x80:
        raise BrokenArchive("a number in the stream is negative")
    else:
        digits = field.split(b"\0", 1)[0].strip(b" ")
        if not all(byte in b"01234567" for byte in digits):
            raise BrokenArchive("a number in the stream is damaged")
        value = int(digits or b"0", 8)
    if value >= 1 << 62:
        raise BrokenArchive("a number in the stream is absurd")
    return value
