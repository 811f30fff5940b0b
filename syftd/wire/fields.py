"""Reading one field of a stranger's JSON: the right type within its limit, or Malformed with the field's name."""

from __future__ import annotations

import re
from typing import Any, Final

from syftd.errors import Malformed, UserError
from syftd.names import MAX_PATH_BYTES, Digest, Email, RelPath
from syftd.wire.names import LATEST_TIMESTAMP, is_uuid

MAX_PROSE: Final = 2000
"""Characters of free text (a verdict's reason) that we keep."""

_MAX_EMAIL = 320
_MAX_COUNT = 2**53
_TOKEN = re.compile(r"[0-9A-Za-z.+_-]{1,64}", re.ASCII)
# C0 and C1 controls could steer a terminal, direction marks could turn a sentence around, lone surrogates cannot be
# written down in UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def shown(value: object) -> str:
    """A stranger's value in a form short enough for an error."""
    return repr(value[:80]) if isinstance(value, str) else type(value).__name__


def record(value: object, what: str) -> dict[str, Any]:
    """`value` as a JSON object; None counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object: {shown(value)}")
    return value


def items(value: object, what: str, most: int) -> list[Any]:
    """`value` as a JSON array of at most `most` items; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{what} is not a list: {shown(value)}")
    if len(value) > most:
        raise Malformed(f"{what} has {len(value)} items; at most {most} are allowed")
    return value


def flag(value: object, what: str) -> bool:
    """`value` as true or false; None counts as false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Malformed(f"{what} is neither true nor false: {shown(value)}")
    return value


def count(value: object, what: str) -> int:
    """`value` as a whole number from 0 that every JSON reader can hold exactly."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_COUNT:
        raise Malformed(f"{what} is not a whole number from 0: {shown(value)}")
    return value


def timestamp(value: object, what: str) -> float:
    """`value` as seconds since the epoch, from 1970 to 9999."""
    if isinstance(value, (float, int)) and not isinstance(value, bool) and 0 <= value < LATEST_TIMESTAMP:
        return abs(float(value))
    raise Malformed(f"{what} is not a time in seconds since the epoch: {shown(value)}")


def uuid_text(value: object, what: str) -> str:
    """`value` as a UUID in 36 lower-case characters."""
    if not isinstance(value, str) or not is_uuid(value):
        raise Malformed(f"{what} is not a UUID: {shown(value)}")
    return value


def token(value: object, what: str) -> str:
    """`value` as one word of at most 64 ASCII letters, digits and '.', '+', '_', '-'."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise Malformed(f"{what} is not a plain word: {shown(value)}")
    return value


def email(value: object, what: str) -> Email:
    """`value` as an address."""
    if not isinstance(value, str) or len(value) > _MAX_EMAIL:
        raise Malformed(f"{what} is not an e-mail address: {shown(value)}")
    try:
        return Email.parse(value)
    except UserError:
        raise Malformed(f"{what} is not an e-mail address: {shown(value)}") from None


def path(value: object, what: str) -> RelPath:
    """`value` as a path inside a datasite."""
    if not isinstance(value, str) or len(value) > MAX_PATH_BYTES:
        raise Malformed(f"{what} is not a path of at most {MAX_PATH_BYTES} bytes: {shown(value)}")
    return RelPath.parse(value)


def digest(value: object, what: str) -> Digest | None:
    """`value` as a SHA-256, or None when it is absent."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) != 64:
        raise Malformed(f"{what} is not a SHA-256 in lower-case hex: {shown(value)}")
    return Digest.parse(value)


def line(value: object, what: str) -> str:
    """`value` as one printable line, taken as it is or not at all; for what machines read and people check."""
    if not isinstance(value, str) or len(value) > MAX_PROSE or _UNPRINTABLE.search(value):
        raise Malformed(f"{what} is not one printable line: {shown(value)}")
    return value


def prose(text: str) -> str:
    """Free text for people, made harmless: what could steer a terminal becomes a blank, the length is cut."""
    return _UNPRINTABLE.sub(" ", text[:MAX_PROSE])
