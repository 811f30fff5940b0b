"""Which file of which datasite a person means: absolute, relative to the own datasite, or `datasites/<email>/…`."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Final

from syftd.errors import Malformed, UserError
from syftd.names import Email, RelPath

JOB_FOLDERS: Final = {"inbox": "app_data/job/inbox", "outbox": "app_data/job/review"}
"""Where the two views of jobs in the data folder lead to: jobs sent to me, and what became of jobs that I sent."""


def locate(data: Path, me: Email, text: str) -> tuple[Email, str]:
    """(datasite, canonical path in it, '' for its top). `data` is the data folder.

    Nothing has to exist. Raises UserError for a path outside the datasites and for one that can be no path in them.
    """
    if not text or "\0" in text:
        raise UserError("the path is empty or holds a NUL", "Name a file or folder of a datasite.")
    if text.startswith("/"):
        return _inside(data, me, text)
    normal = posixpath.normpath(text)
    if normal == ".." or normal.startswith("../"):
        raise UserError(f"{text} leads out of your datasite", f"Paths are relative to {data / 'datasites' / me}.")
    first, _, rest = normal.partition("/")
    # A folder of one's own may be called “datasites” too; only an address after it makes it a datasite.
    if first == "datasites" and "@" in rest.partition("/")[0]:
        return _of_datasite(rest, text)
    return me, _canonical("" if normal == "." else normal, text)


def _inside(data: Path, me: Email, text: str) -> tuple[Email, str]:
    below = _below(data, text)
    first, _, rest = below.partition("/")
    if first == "datasites" and rest:
        return _of_datasite(rest, text)
    if first in JOB_FOLDERS and rest:
        person, _, job = rest.partition("/")
        # A job that was sent to me lies in my datasite; one that I sent is answered in its owner's.
        owner, author = (me, Email.parse(person)) if first == "inbox" else (Email.parse(person), me)
        return owner, _canonical("/".join(part for part in (JOB_FOLDERS[first], author, job) if part), text)
    raise UserError(f"{text} is in none of the datasites", f"They lie in {data / 'datasites'}.")


def _below(data: Path, text: str) -> str:
    """The part of an absolute path below the data folder, with the links on the way to either taken out if need be."""
    given = os.path.normpath(text)
    above, name = os.path.split(given)
    for path in (given, os.path.join(os.path.realpath(above), name)):
        for root in (str(data), os.path.realpath(data)):
            if path.startswith(root.rstrip("/") + "/"):
                return path[len(root.rstrip("/")) + 1 :]
    raise UserError(f"{text} does not lie in your data folder", f"That is {data}.")


def _of_datasite(rest: str, text: str) -> tuple[Email, str]:
    site, _, path = rest.partition("/")
    return Email.parse(site), _canonical(path, text)


def _canonical(path: str, text: str) -> str:
    if not path:
        return ""
    try:
        return RelPath.from_disk(path)
    except Malformed as error:
        problem = f"{text!r} can be no path in a datasite: {error}"
        raise UserError(problem, "No file of that name is ever shared.") from None
