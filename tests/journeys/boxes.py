"""What lies in the shared folder: every object opened as far as anybody who can read the folder could."""

from __future__ import annotations

import base64
import binascii
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def objects(mailbox: Path) -> list[Path]:
    """Every file below the shared folder that is there at this moment."""
    return [path for path in mailbox.rglob("*") if path.is_file()]


def carried(mailbox: Path, needle: bytes, box: str = "") -> list[str]:
    """The objects, of all whose path names `box`, that hold `needle`: as they are, unpacked, or in base64 inside."""
    found = []
    for path in objects(mailbox):
        if box not in str(path.relative_to(mailbox)):
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # It was read and removed by its reader in this moment.
        if any(needle in piece for piece in _opened(content)) or needle in str(path.relative_to(mailbox)).encode():
            found.append(str(path.relative_to(mailbox)))
    return found


def lies_in(folder: Path, needle: bytes) -> list[str]:
    """The files below `folder`, dot-named ones too, whose content or path holds `needle`."""
    found = []
    for path in folder.rglob("*"):
        relative = str(path.relative_to(folder))
        try:
            inside = path.is_file() and needle in path.read_bytes()
        except FileNotFoundError:
            continue  # A temporary file that has gone.
        if inside or needle in relative.encode("utf-8", "surrogateescape"):
            found.append(relative)
    return found


def _opened(content: bytes) -> Iterator[bytes]:
    yield content
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            members = [archive.extractfile(member) for member in archive.getmembers() if member.isfile()]
            bodies = [member.read() for member in members if member is not None]
    except (tarfile.TarError, OSError, EOFError):
        return
    for body in bodies:
        yield body
        try:
            message = json.loads(body)
        except ValueError:
            continue
        yield from _strings(message)


def _strings(value: Any) -> Iterator[bytes]:
    """Every string of a JSON value, and what it decodes to when it is base64."""
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
        try:
            yield base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key.encode()
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
