"""Opening files strictly beneath one folder: no '..', no absolute path, and never through a symbolic link.

On Linux the kernel keeps the promise in one call (openat2). Elsewhere every part is opened on its own with O_NOFOLLOW,
relative to the directory before it. Either way nobody can swap a parent for a symlink between check and use. No
directory stays open between calls: openat2 is as cheap as remembering one, and a remembered one may have moved away.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Callable
from typing import Final

from syftd.errors import Malformed
from syftd.tree import kernel

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> list[str]:
    """The parts of a relative path; '' has none. Raises Malformed for anything that could lead elsewhere."""
    if not path:
        return []
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts or "\0" in path:
        raise Malformed(f"not a path inside a datasite: {path!r:.120}")
    return parts


class Beneath:
    """The folder that nothing is opened outside of. Keeps one descriptor open until `close`."""

    def __init__(self, root: str) -> None:
        """Raises OSError when `root` is no directory."""
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.device = os.fstat(self.root).st_dev
        self.one_call = True
        try:
            os.close(kernel.open_without_symlinks(self.root, ".", _DIRECTORY))
        except OSError:
            # An old kernel, another system, or a seccomp filter that does not know the call: walk instead.
            self.one_call = False

    def close(self) -> None:
        os.close(self.root)

    def directory(self, path: str) -> int:
        """Opens the directory `path` ('' for the root). Raises OSError; ELOOP when a part of it is a symlink."""
        parts = parts_of(path)
        if self.one_call:
            return kernel.open_without_symlinks(self.root, path or ".", _DIRECTORY)
        return self._walk(os.dup(self.root), parts, None)

    def file(self, path: str, flags: int) -> int:
        """Opens the existing file `path` with `flags`. Raises OSError; ELOOP when it or a part of it is a symlink."""
        parts = parts_of(path)
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        if self.one_call:
            return kernel.open_without_symlinks(self.root, path, flags)
        above = self._walk(os.dup(self.root), parts[:-1], None)
        try:
            return os.open(parts[-1], flags, dir_fd=above)
        finally:
            os.close(above)

    def make(self, path: str, mode: int, keep: int, before: Callable[[int, str], None]) -> int:
        """Opens the directory `path` and makes what is missing of it with `mode` & ~umask. Raises OSError.

        The first `keep` parts must be there already: a vanished datasite is never made anew by accident. `before` is
        called with the open directory and the name before each making, and may object by raising.
        """
        parts = parts_of(path)
        here = self.directory("/".join(parts[:keep]))
        return self._walk(here, parts[keep:], lambda part, above: _make(part, mode, above, before))

    def _walk(self, here: int, parts: list[str], missing: Callable[[str, int], None] | None) -> int:
        """Steps from `here`, which it closes, to the directory at `parts`."""
        try:
            for part in parts:
                try:
                    below = self._step(here, part)
                except FileNotFoundError:
                    if missing is None:
                        raise
                    missing(part, here)
                    below = self._step(here, part)
                os.close(here)
                here = below
        except BaseException:
            os.close(here)
            raise
        return here

    @staticmethod
    def _step(here: int, part: str) -> int:
        try:
            return os.open(part, _DIRECTORY, dir_fd=here)
        except NotADirectoryError:
            # O_DIRECTORY hides that it is a symlink; people should be told which of the two it is.
            if modes.S_ISLNK(os.stat(part, dir_fd=here, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part) from None
            raise


def _make(part: str, mode: int, here: int, before: Callable[[int, str], None]) -> None:
    before(here, part)
    try:
        os.mkdir(part, mode, dir_fd=here)
    except FileExistsError:
        pass  # Somebody made it in between; the next step looks at what it is.
