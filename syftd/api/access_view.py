"""Who may do what with a path of the own datasite, from the permission files as they are on disk now.

Only the files on the way to the path can decide about it, so only they are read.
"""

from __future__ import annotations

from typing import Any, Final

from syftd.api.folder import Folder
from syftd.errors import ItemError
from syftd.names import Email
from syftd.rules.access import ANY_CHILD, Access, permission_file
from syftd.rules.ruleset import EVERYONE, MAX_FILE_BYTES
from syftd.state import contacts, files
from syftd.state.db import Db
from syftd.tree.ignore import Ignore

_IGNORE_BYTES: Final = 256 * 1024
_STRANGER: Final = "anybody@nowhere.invalid"


class Rules:
    """What holds for one path of the owner's datasite. `sites` is the folder of all datasites."""

    def __init__(self, db: Db, owner: Email, sites: Folder, path: str) -> None:
        self.owner = owner
        self.path = path
        self.is_directory = not path or sites.kind(f"{owner}/{path}") == "directory"
        self.probe = (f"{path}/{ANY_CHILD}" if path else ANY_CHILD) if self.is_directory else path
        """What the rules are asked about; for a folder, a made-up file in it."""
        self.access = _compiled(db, owner, sites, self.probe)
        self.hidden = hidden(sites, owner, path, directory=self.is_directory)
        """Why the path never travels whatever the rules say; None when it may."""

    def entry(self, who: str) -> dict[str, Any]:
        """{who, read, write, admin, why} for an address or `*`, which means literally everybody."""
        if self.hidden is not None and who != self.owner:
            return {"who": who, "read": False, "write": False, "admin": False, "why": self.hidden}
        # Everybody is asked about as somebody whom nobody can have named; as an address, `*` would be a pattern.
        found = self.access.explain(_STRANGER if who == EVERYONE else who, self.probe)
        read, write, admin = found.read, found.write, found.admin
        _, _, why = found.text.partition(f" {self.probe}: ")
        why = why.removesuffix(".")
        if who == EVERYONE and read and not self.access.public(self.probe):
            read = write = admin = False
            why += ", but not for literally everybody"
        return {"who": who, "read": read, "write": write, "admin": admin, "why": why}

    @property
    def governing(self) -> str | None:
        """The path of the permission file that decides; None when there is none."""
        return self.access.governed_by(self.probe)

    @property
    def broken(self) -> dict[str, str]:
        """Reason by path of each permission file on the way that cannot be used."""
        return {permission_file(directory): reason for directory, reason in self.access.problems().items()}


def view(db: Db, me: Email, sites: Folder, path: str, whom: Email | None) -> dict[str, Any]:
    """{path, governing, entries: [{who, read, write, admin, why}]}: for the owner, every accepted peer and everybody
    (`*`), or for one person. `path` is in the own datasite; it need not exist."""
    rules = Rules(db, me, sites, path)
    asked: list[str] = [me, *contacts.in_state(db, "accepted"), EVERYONE] if whom is None else [whom]
    return {
        "path": path or ".",
        "governing": rules.governing,
        "hidden": rules.hidden,
        "entries": [rules.entry(who) for who in asked],
    }


def hidden(sites: Folder, site: Email, path: str, *, directory: bool) -> str | None:
    """Why a path never travels, in words; None when it may. Fails closed."""

    def text_of(name: str) -> str | None:
        content = sites.read(f"{site}/{name}", _IGNORE_BYTES)
        return None if content is None else content.decode("utf-8", "replace")

    if not path:
        return None
    try:
        return Ignore(text_of).reason(path, directory=directory)
    except ItemError as error:
        return f"a syftignore cannot be read ({error})"


def _compiled(db: Db, owner: Email, sites: Folder, probe: str) -> Access:
    access = Access(owner)
    directory = probe
    while directory:
        directory = directory.rpartition("/")[0]
        path = permission_file(directory)
        known = files.get(db, owner, path)
        place = f"{owner}/{known.spelling if known else path}"
        try:
            kind = sites.kind(place)
            text = sites.read(place, MAX_FILE_BYTES) if kind == "file" else None
        except ItemError as error:
            access.broken(directory, str(error))
            continue
        if text is not None:
            access.set(directory, text)
        elif kind == "symlink":
            access.broken(directory, "it is a symbolic link, which is never followed")
    return access
