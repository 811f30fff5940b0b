"""Names on shared storage: the network's folder names, what an object may be called, and who may do what in a box.

A box is the folder ``syft_datasite#<version>#<datasite>#inbox#<peer>`` (or ``outbox``) among the things that `<peer>`
owns. A folder that says so among somebody else's things is not a box: the channel, not the text, tells the owner.
"""

from __future__ import annotations

import re
from typing import Final

from syftd.errors import Permanent, UserError
from syftd.names import Email
from syftd.transport.mailbox import Box

NETWORK_VERSION: Final = "0.1.117"
"""The release of the existing network whose names we write; boxes of any release with the same major.minor are read."""

PROFILE_NAME: Final = "SYFT_version.json"
BLOBS_FOLDER: Final = "syft_blobs"
BOX_PREFIX: Final = "syft_datasite#"

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,6})", re.ASCII)
_OBJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._#@+=-]{0,199}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SERIES = NETWORK_VERSION.rpartition(".")[0]


def folder_name(box: Box) -> str:
    """The name under which we create an inbox or an outbox."""
    return f"{BOX_PREFIX}{NETWORK_VERSION}#{box.datasite}#{box.kind}#{box.peer}"


def box_of(name: str, owner: Email) -> Box | None:
    """The inbox or outbox that a folder called `name` among the things of `owner` is; None when it is not one.

    Strict: five fields, a version of our series, two addresses in canonical form, and the peer named is the owner.
    """
    fields = name.split("#")
    if len(fields) != 5 or fields[0] + "#" != BOX_PREFIX or not _in_series(fields[1]) or fields[4] != owner:
        return None
    datasite = address(fields[2])
    if datasite is None or datasite == owner:
        return None
    if fields[3] == "inbox":
        return Box("inbox", datasite, owner)
    if fields[3] == "outbox":
        return Box("outbox", datasite, owner)
    return None


def author(box: Box) -> Email:
    """Who writes what lies in a box: the peer proposes, the datasite tells, blobs and profile are their owner's."""
    return box.datasite if box.kind == "outbox" else box.peer


def preference(name: str) -> tuple[bool, int]:
    """Sorts folders of one and the same box, best first: the one of our own version, then the newest patch."""
    version = _VERSION.fullmatch(name.split("#")[1])
    patch = int(version.group(3)) if version else -1
    return (name.split("#")[1] != NETWORK_VERSION, -patch)


def address(text: str) -> Email | None:
    """The address that `text` already is in canonical form, or None; for names that somebody else wrote."""
    try:
        parsed = Email.parse(text)
    except UserError:
        return None
    return parsed if parsed == text else None


def is_object_name(name: str) -> bool:
    """Whether an object may be called so: 1 to 200 letters, digits and ``._#@+=-``, not beginning with a dot."""
    return _OBJECT.fullmatch(name) is not None


def require_object_name(box: Box, name: str) -> None:
    """Raises Permanent when an object of `box` cannot be called `name`."""
    if box.kind == "blobs":
        fits = _DIGEST.fullmatch(name) is not None
    elif box.kind == "profile":
        # The profile shares its folder with the boxes, whose names all begin like this.
        fits = is_object_name(name) and not name.startswith("syft_")
    else:
        fits = is_object_name(name)
    if not fits:
        raise Permanent(f"an object in a {box.kind} box cannot be called {name!r:.120}")


def require_reader(box: Box, me: Email) -> None:
    """Raises Permanent unless `me` may read `box`: everybody reads blobs and profiles, only its parties a box."""
    if box.kind in ("inbox", "outbox") and me not in (box.datasite, box.peer):
        raise Permanent(f"the {box.kind} between {box.datasite} and {box.peer} is not for {me}")


def require_writer(box: Box, me: Email) -> None:
    """Raises Permanent unless `me` is a party to `box`."""
    if me not in (box.datasite, box.peer):
        raise Permanent(f"the {box.kind} box of {box.owner} is not for {me} to write")


def require_owner(box: Box, me: Email) -> None:
    """Raises Permanent unless `box` is one that `me` creates and closes."""
    if box.owner != me:
        raise Permanent(f"the {box.kind} box of {box.owner} can be opened and closed by {box.owner} only, not by {me}")


def _in_series(version: str) -> bool:
    match = _VERSION.fullmatch(version)
    return match is not None and f"{match.group(1)}.{match.group(2)}" == _SERIES
