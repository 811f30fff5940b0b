"""What was written since the last commit and is not yet safe against a power cut."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

from syftd.tree import kernel

FEW: Final = 8
"""Up to so many files are made durable one by one; more are cheaper with one flush of the file system."""


class Unsynced:
    """Descriptors of written files and changed directories; `flush` makes them durable. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: list[int] = []
        self._directories: dict[tuple[int, int], int] = {}
        self._devices: dict[int, int] = {}
        self._whole = kernel.can_sync_filesystem()

    def wrote(self, file: int) -> None:
        """Takes over the descriptor of a file whose content must last."""
        with self._lock:
            if len(self._files) < FEW:
                self._files.append(file)
                return
            if self._whole:
                self._many(file)
                os.close(file)
                return
        # Without a flush of the whole file system, keeping thousands of descriptors is not an option: pay now.
        try:
            fsync(file)
        finally:
            os.close(file)

    def changed(self, directory: int) -> None:
        """Notes that names in an open directory changed; the descriptor stays the caller's."""
        found = os.fstat(directory)
        key = (found.st_dev, found.st_ino)
        with self._lock:
            if key in self._directories or found.st_dev in self._devices:
                return
            if len(self._directories) >= 4 * FEW:
                if self._whole:
                    self._many(directory)
                    return
                self._flush_directories()
            self._directories[key] = os.dup(directory)

    def flush(self) -> None:
        """Returns when all of it lasts. Raises OSError; then nothing of it may be claimed."""
        with self._lock:
            files, self._files = self._files, []
            devices, self._devices = self._devices, {}
            directories, self._directories = self._directories, {}
        try:
            for fd in devices.values():
                kernel.sync_filesystem(fd)
            for fd in (*files, *directories.values()):
                if os.fstat(fd).st_dev not in devices:
                    fsync(fd)
        finally:
            for fd in (*files, *devices.values(), *directories.values()):
                os.close(fd)

    def close(self) -> None:
        """Gives the descriptors back; whatever was not flushed was never claimed."""
        with self._lock:
            for fd in (*self._files, *self._devices.values(), *self._directories.values()):
                os.close(fd)
            self._files, self._devices, self._directories = [], {}, {}

    def _many(self, fd: int) -> None:
        device = os.fstat(fd).st_dev
        if device not in self._devices:
            self._devices[device] = os.dup(fd)

    def _flush_directories(self) -> None:
        directories, self._directories = self._directories, {}
        for fd in directories.values():
            fsync(fd)
            os.close(fd)


def fsync(fd: int) -> None:
    """Makes one file or directory durable. Raises OSError."""
    if sys.platform == "darwin":
        import fcntl

        # On macOS fsync() leaves the bytes in the drive's own buffer.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        return
    os.fsync(fd)
