"""What a person at a machine can do to files: on a real folder, or on a volume in memory.

Paths are relative to the data folder, such as ``datasites/ada@example.org/public/a.txt``. Nothing here passes a seam:
people act whole, and in between whatever a program does.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.sim.kernel import Machine
from tests.sim.volume import Inode


class Hands(Protocol):
    """The files of one data folder, as a person sees and changes them."""

    def save(self, path: str, content: bytes, at_ns: int, *, executable: bool = False, in_place: bool = False) -> None:
        """Saves a file as an editor does, beside and then renamed over; or `in_place`, into the file that is there."""

    def delete(self, path: str) -> None: ...

    def rename(self, path: str, to: str) -> None: ...

    def exists(self, path: str) -> bool: ...

    def read(self, path: str) -> bytes | None:
        """What a file holds; None when there is none."""

    def files(self, top: str) -> dict[str, bytes]:
        """Every ordinary file below a folder, by its path below it."""


class RealHands:
    """On a folder of this machine."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def save(self, path: str, content: bytes, at_ns: int, *, executable: bool = False, in_place: bool = False) -> None:
        place = self._data / path
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place if in_place else place.with_name(place.name + ".tmp")
        beside.write_bytes(content)
        beside.chmod(0o755 if executable else 0o644)
        os.utime(beside, ns=(at_ns, at_ns))
        if not in_place:
            beside.rename(place)

    def delete(self, path: str) -> None:
        (self._data / path).unlink()

    def rename(self, path: str, to: str) -> None:
        (self._data / to).parent.mkdir(parents=True, exist_ok=True)
        (self._data / path).rename(self._data / to)

    def exists(self, path: str) -> bool:
        return (self._data / path).exists()

    def read(self, path: str) -> bytes | None:
        place = self._data / path
        return place.read_bytes() if place.is_file() else None

    def files(self, top: str) -> dict[str, bytes]:
        folder = self._data / top
        return {
            str(place.relative_to(folder)): place.read_bytes()
            for place in sorted(folder.rglob("*"))
            if place.is_file() and not place.is_symlink()
        }


class VirtualHands:
    """On a machine in memory. `lasting`: what is saved survives a power cut, as if the editor had synchronised it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.lasting = True

    def save(self, path: str, content: bytes, at_ns: int, *, executable: bool = False, in_place: bool = False) -> None:
        directory, name = self._directory(path)
        volume = directory.volume
        there = volume.child(directory, name)
        mode = 0o755 if executable else 0o644
        if there is not None and there.is_file and in_place:
            volume.write(there, content)
            inode = there
        else:
            if there is not None and there.is_directory:
                return  # An editor says so, and the person gives up.
            inode = volume.new(modes.S_IFREG | mode)
            volume.write(inode, content)
            volume.change((directory, name, inode))
        inode.mode = modes.S_IFREG | mode
        if self.lasting:
            # Every journalling file system lets a synchronised file be found again, so what leads to it lasts, too.
            volume.sync_file(inode)
            for above in self._chain(path):
                volume.sync_directory(above)

    def delete(self, path: str) -> None:
        directory, name = self._directory(path)
        directory.volume.change((directory, name, None))
        self._maybe_last(directory)

    def rename(self, path: str, to: str) -> None:
        source, name = self._directory(path)
        target, other = self._directory(to)
        inode = source.volume.child(source, name)
        if inode is None or inode.volume is not target.volume or target.volume.child(target, other) is not None:
            return
        source.volume.change((source, name, None), (target, other, inode))
        self._maybe_last(source)

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def read(self, path: str) -> bytes | None:
        inode = self._find(path)
        return inode.content if inode is not None and inode.is_file else None

    def permit(self, path: str, mode: int) -> None:
        """Sets the mode bits of a file or folder."""
        inode = self._find(path)
        if inode is not None:
            inode.mode = modes.S_IFMT(inode.mode) | mode
            inode.volume.touch(inode)

    def files(self, top: str) -> dict[str, bytes]:
        folder = self._find(top)
        return {} if folder is None else dict(sorted((path, inode.content) for path, inode in _files(folder, "")))

    def folders(self, top: str) -> list[str]:
        """Every folder below one, and that one."""
        folder = self._find(top)
        return [] if folder is None else [f"{top}/{path}".rstrip("/") for path, _ in _folders(folder, "")]

    def _find(self, path: str) -> Inode | None:
        here = self._machine.volume.root
        for part in ("SyftBox/" + path).split("/"):
            below = here.volume.child(here, part) if here.is_directory else None
            if below is None:
                return None
            here = below
        return here

    def _directory(self, path: str) -> tuple[Inode, str]:
        """The folder that a path lies in, made if it is missing, and the name."""
        here = self._machine.volume.root
        *above, name = ("SyftBox/" + path).split("/")
        for part in above:
            below = here.volume.child(here, part)
            if below is None or not below.is_directory:
                below = here.volume.new(modes.S_IFDIR | 0o755)
                here.volume.change((here, part, below))
                self._maybe_last(here)
            here = below
        return here, name

    def _chain(self, path: str) -> list[Inode]:
        """The folders that lead to a path, from the top."""
        chain = [self._machine.volume.root]
        for part in ("SyftBox/" + path).split("/")[:-1]:
            below = chain[-1].volume.child(chain[-1], part)
            if below is None:
                break
            chain.append(below)
        return chain

    def _maybe_last(self, directory: Inode) -> None:
        if self.lasting:
            directory.volume.sync_directory(directory)


def _files(folder: Inode, above: str) -> Iterator[tuple[str, Inode]]:
    for name, inode in folder.entries.values():
        if inode.is_file:
            yield above + name, inode
        elif inode.is_directory:
            yield from _files(inode, f"{above}{name}/")


def _folders(folder: Inode, above: str) -> Iterator[tuple[str, Inode]]:
    yield above, folder
    for name, inode in folder.entries.values():
        if inode.is_directory:
            yield from _folders(inode, f"{above}{name}/")
