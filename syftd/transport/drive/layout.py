"""Names and queries on Drive: exactly those of the existing network, with everything quoted that somebody else wrote.

Everything a person owns lies in the folder ``SyftBox`` of their My Drive. Drive lets several things have one name and
has no paths, so things are looked for by query and from then on known by their id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from syftd.names import Email
from syftd.transport.layout import BOX_PREFIX, PROFILE_NAME

SCOPE: Final = "https://www.googleapis.com/auth/drive"
"""The only scope with which a folder that somebody else shared can be found without that person's further doing."""

ROOT: Final = "SyftBox"
PEERS_NAME: Final = "SYFT_peers.json"
FOLDER: Final = "application/vnd.google-apps.folder"
CHUNK: Final = "application/vnd.syftd.chunk"
"""The type of content chunks, so that all chunks somebody lets us read can be listed at once."""
BYTES: Final = "application/octet-stream"
JSON: Final = "application/json"

FIELDS: Final = "id,name,mimeType,parents,trashed,driveId,owners(emailAddress),size,md5Checksum,sha256Checksum,createdTime"
"""What we ask to be told of a file."""
SHARED_FIELDS: Final = FIELDS + ",permissions(id,type,role,emailAddress)"
"""The same with who may use it, which Drive tells of our own files."""

PAGE: Final = 1000
"""So many things are listed with one call at most."""

MOST_PARENTS: Final = 50
"""So many folders are listed with one query; longer queries are not promised to work."""

_UNIQUE = re.compile(r"[A-Za-z0-9]+_[0-9.e+-]{1,40}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tar\.gz", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def is_unique(name: str) -> bool:
    """Whether nobody can mean another object by this name: it carries a UUID, or is the digest of its content."""
    return _UNIQUE.fullmatch(name) is not None or _DIGEST.fullmatch(name) is not None


def quoted(text: str) -> str:
    """A string literal of the query language."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def archive_name(sender: Email, recipient: Email) -> str:
    """The folder of `recipient` into which handled messages of `sender` are moved."""
    return f"syft_{sender}_to_{recipient}_archive"


def root_query() -> str:
    """Finds the folder that holds everything of ours."""
    return f"name={quoted(ROOT)} and mimeType={quoted(FOLDER)} and 'me' in owners and trashed=false"


def boxes_query() -> str:
    """Finds all boxes that we may see, our own and those that others opened to us."""
    return f"mimeType={quoted(FOLDER)} and trashed=false and name contains {quoted(BOX_PREFIX)}"


def box_query(datasite: Email, kind: str, peer: Email) -> str:
    """Finds one box, of whatever version, among the things of its owner."""
    tail = quoted(f"#{datasite}#{kind}#{peer}")
    return f"{boxes_query()} and name contains {tail} and {quoted(peer)} in owners"


def contents_query(folders: Sequence[str]) -> str:
    """Finds what lies in any of some folders, given by their ids."""
    parents = " or ".join(f"{quoted(folder)} in parents" for folder in folders)
    return f"({parents}) and trashed=false" if len(folders) > 1 else f"{parents} and trashed=false"


def named_query(name: str, folder: str) -> str:
    """Finds everything of one name in a folder, given by its id."""
    return f"name={quoted(name)} and {quoted(folder)} in parents and trashed=false"


def profile_query(owner: Email) -> str:
    """Finds the version file of a peer."""
    return f"name={quoted(PROFILE_NAME)} and trashed=false and {quoted(owner)} in owners"


def chunks_query(owner: Email) -> str:
    """Finds every content chunk of a person that we may read."""
    return f"mimeType={quoted(CHUNK)} and trashed=false and {quoted(owner)} in owners"


def chunk_query(owner: Email, digest: str) -> str:
    """Finds one content chunk of a person."""
    return f"name={quoted(digest)} and {chunks_query(owner)}"


def told_query(prefix: str) -> str:
    """Finds messages of ours by the beginning of their name, wherever their readers have put them."""
    return f"name contains {quoted(prefix)} and mimeType!={quoted(FOLDER)} and 'me' in owners and trashed=false"
