"""The names that messages carry as objects in a box, exactly as the network spells them.

``msgv2_<ts>_<uuid>.tar.gz`` is a proposal, ``syfteventsmessagev3_<ts>_<uuid>.tar.gz`` an events message. ``<ts>`` is
the shortest decimal that gives the same float again, so a name can be made anew from the message inside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

PROPOSAL_PREFIX: Final = "msgv2"
EVENTS_PREFIX: Final = "syfteventsmessagev3"
EXTENSION: Final = ".tar.gz"
LATEST_TIMESTAMP: Final = 253_402_300_800.0
"""Seconds since the epoch at the end of the year 9999; later times cannot be shown to people and are refused."""

_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,24})?(?:e[+-]?[0-9]{1,3})?", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class MessageName:
    """What an object's name says. `timestamp` in seconds since the epoch; `uid` in 36 lower-case characters."""

    kind: Literal["proposal", "events"]
    timestamp: float
    uid: str


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its 36-character lower-case form, the only one the network writes."""
    return len(text) == 36 and _UUID.fullmatch(text) is not None


def proposal_name(ts: float, uid: str) -> str:
    """The object name of a proposal made at `ts` (seconds since the epoch) with the message id `uid`."""
    return f"{PROPOSAL_PREFIX}_{float(ts)!r}_{uid}{EXTENSION}"


def events_name(ts: float, uid: str) -> str:
    """The object name of an events message made at `ts` (seconds since the epoch) with the message id `uid`."""
    return f"{EVENTS_PREFIX}_{float(ts)!r}_{uid}{EXTENSION}"


def parse(name: str) -> MessageName | None:
    """What `name` says, or None for an object that is not a message: such objects are ignored, as the network does."""
    if len(name) > _LONGEST or not name.endswith(EXTENSION):
        return None
    parts = name.removesuffix(EXTENSION).split("_")
    if len(parts) != 3:
        return None
    prefix, number, uid = parts
    # float() alone would also take "nan", "inf", signs, blanks and digits of other scripts.
    if not _NUMBER.fullmatch(number) or not is_uuid(uid):
        return None
    timestamp = float(number)
    if not timestamp < LATEST_TIMESTAMP:
        return None
    if prefix == PROPOSAL_PREFIX:
        return MessageName("proposal", timestamp, uid)
    if prefix == EVENTS_PREFIX:
        return MessageName("events", timestamp, uid)
    return None
