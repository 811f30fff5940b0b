"""What never travels: private folders, our own files, tools' litter, and what a `syftignore` names.

Ignored is not deleted: a path that was published and is ignored later is left alone, here and at its readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from syftd.errors import ContentMissing
from syftd.names import Email

if TYPE_CHECKING:
    import pathspec

    from syftd.tree.contract import Disk

IGNORE_FILE: Final = "syftignore"
TOP_ONLY: Final = {
    "private": "it lies in private/, which never leaves this machine",
    ".syft": "it lies in .syft/, syftd's own folder",
}
LITTER: Final = frozenset(
    {".venv", ".git", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", ".DS_Store"}
)
_TEMPORARY: Final = re.compile(r".*\.swp|.*~|\.#.*|.*\.tmp|\.~lock.*|4913", re.DOTALL).fullmatch


_LIMIT_BYTES: Final = 256 * 1024


class Ignore:
    """Decides for one datasite. `text_of(path)` gives a `syftignore` file's text, None when there is none.

    The texts are read once; `forget` makes it read them again.
    """

    def __init__(self, text_of: Callable[[str], str | None] = lambda path: None) -> None:
        self._text_of = text_of
        self._specs: dict[str, pathspec.GitIgnoreSpec | None] = {}

    def forget(self) -> None:
        """To be called when a `syftignore` file changed; a full scan should follow."""
        self._specs.clear()

    def reason(self, path: str, *, directory: bool = False) -> str | None:
        """Why the file (or directory) `path` never travels, in words; None when it does."""
        parts = path.split("/")
        for depth, part in enumerate(parts):
            above = "/".join(parts[:depth])
            if why := self.entry(above, part, directory=directory or depth < len(parts) - 1):
                return why
        return None

    def entry(self, above: str, name: str, *, directory: bool) -> str | None:
        """As `reason`, for one entry of a directory that is not ignored itself; what a walk asks for each name."""
        if name in LITTER:
            return f"files named {name} are made by tools and never travel"
        if not above and name in TOP_ONLY:
            return TOP_ONLY[name]
        if not directory and _TEMPORARY(name):
            return "its name is that of an editor's or syftd's temporary file"
        return self._by_file(above, name, directory)

    def opened(self, path: str, holds_ignore_file: bool) -> None:
        """A walk tells that it is in the directory `path`, and saw whether there is a `syftignore` in it."""
        if holds_ignore_file:
            self._load(path)
        else:
            self._specs[path] = None

    def _load(self, path: str) -> None:
        text = self._text_of(f"{path}/{IGNORE_FILE}" if path else IGNORE_FILE)
        spec = None
        if text is not None:
            import pathspec  # Costs start-up time, so only those pay who have such a file.

            spec = pathspec.GitIgnoreSpec.from_lines(text.splitlines())
        self._specs[path] = spec

    def _by_file(self, above: str, name: str, directory: bool) -> str | None:
        """The innermost file that says something about the entry decides, as with git."""
        folder = above
        inside = f"{name}/" if directory else name
        while True:
            if folder not in self._specs:
                self._load(folder)
            spec = self._specs[folder]
            if spec is not None:
                said = spec.check_file(inside)
                if said.include is not None:
                    where = f"{folder}/{IGNORE_FILE}" if folder else IGNORE_FILE
                    return f"{where} says so" if said.include else None
            if not folder:
                return None
            folder, _, last = folder.rpartition("/")
            inside = f"{last}/{inside}"


class Ignores:
    """The rules of each datasite on a disk, by its address; what the scanner is given."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._sites: dict[Email, Ignore] = {}

    def __call__(self, site: Email) -> Ignore:
        """The rules of `site`. Looking one up raises ItemError when a `syftignore` is there but cannot be read: what
        it hides must not be published by mistake."""
        if site not in self._sites:
            self._sites[site] = Ignore(lambda path: self._text(site, path))
        return self._sites[site]

    def _text(self, site: Email, path: str) -> str | None:
        try:
            content, _ = self._disk.read(site, path, _LIMIT_BYTES)
        except ContentMissing:
            return None
        return content.decode("utf-8", "replace")
