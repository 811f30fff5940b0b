"""What a peer's boxes are known by, on each transport: the text in the peer table, and what a new listing means for it.

A transport gives each box a birth mark that changes when the box is removed and made anew. The marks of all transports
are kept side by side, so that what one of them shows never looks like a change on another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from syftd.names import Email
from syftd.transport.mailbox import Opened

Marks = dict[str, tuple[str, ...]]
"""The sorted birth marks of one peer's boxes on one transport, by the kind of box; a kind may have several boxes."""

Births = dict[str, Marks]
"""The marks by the name of the transport. A transport with no marks was looked at, and there was no box."""


def by_owner(opened: Iterable[Opened]) -> dict[Email, Marks]:
    """The marks on one transport, by the owner of the boxes."""
    found: dict[Email, dict[str, set[str]]] = {}
    for item in opened:
        found.setdefault(item.box.owner, {}).setdefault(item.box.kind, set()).add(item.born)
    return {owner: {kind: tuple(sorted(marks)) for kind, marks in kinds.items()} for owner, kinds in found.items()}


def text_of(births: Mapping[str, Marks]) -> str:
    """The same text for the same marks, whatever the order in which they were found; '' when there is no box."""
    if not any(births.values()):
        return ""
    return json.dumps(births, sort_keys=True, separators=(",", ":"))


def births_of(text: str, transports: Iterable[str]) -> Births:
    """What the text tells of those transports that are still set up; the others can show no box any more."""
    if not text.startswith("{"):
        return {}
    found = json.loads(text)
    return {name: {kind: tuple(marks) for kind, marks in found[name].items()} for name in transports if name in found}


def joined(births: Births, transport: str, marks: Marks) -> Births:
    """The births after `marks` were seen. A box that is missing now keeps its mark: made anew it has another one."""
    return {**births, transport: {**births.get(transport, {}), **marks}}


def remade(before: Marks, marks: Marks, kinds: Iterable[str] = ("inbox", "outbox")) -> bool:
    """Whether a box that was there before is another one now, so that what lay in it is gone."""
    return any(kind in before and kind in marks and not set(before[kind]) <= set(marks[kind]) for kind in kinds)


def asks_again(births: Births, transport: str, marks: Marks) -> bool:
    """Whether boxes of somebody with whom a contact has ended are a new request, and not those of that contact."""
    if not any(births.values()):
        return bool(marks)
    known = births.get(transport)
    if known is None:
        return False  # That transport could not be looked at when the contact ended: its boxes may be the old ones.
    return bool(marks) if not known else remade(known, marks)
