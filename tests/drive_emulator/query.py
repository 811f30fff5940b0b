"""The search language of files.list as a tree, and the tree applied to one file.

As in the service, `name contains` compares tokens (runs of letters and digits) by their beginnings, whatever their order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from tests.drive_emulator.errors import invalid

TIMES: Final = ("modifiedTime", "createdTime", "viewedByMeTime")
COLLECTIONS: Final = ("parents", "owners", "writers", "readers")


@dataclass(frozen=True)
class Compare:
    """`field operator value`: the value is a str, or a bool for a flag."""

    field: str
    operator: str
    value: str | bool


@dataclass(frozen=True)
class Member:
    """`'value' in collection`."""

    value: str
    collection: str


@dataclass(frozen=True)
class Has:
    """`field has { key='…' and value='…' }`."""

    field: str
    key: str
    value: str


@dataclass(frozen=True)
class Not:
    inner: Node


@dataclass(frozen=True)
class Both:
    left: Node
    right: Node


@dataclass(frozen=True)
class Either:
    left: Node
    right: Node


Node = Compare | Member | Has | Not | Both | Either


class Subject(Protocol):
    """A file as one person sees it, which is what a query asks about."""

    @property
    def name(self) -> str: ...

    @property
    def mime_type(self) -> str: ...

    @property
    def trashed(self) -> bool: ...

    @property
    def starred(self) -> bool: ...

    @property
    def shared_with_me(self) -> bool: ...

    @property
    def visibility(self) -> str: ...

    @property
    def text(self) -> str: ...

    def time(self, field: str) -> datetime | None: ...

    def has_property(self, field: str, key: str, value: str) -> bool: ...

    def members(self, collection: str) -> Collection[str]: ...

    def is_me(self, address: str) -> str: ...


def matches(node: Node, subject: Subject) -> bool:
    """Whether the file fits the query."""
    first, rest = _spine(node)
    fits = _fits(first, subject)
    for link in rest:
        if fits == isinstance(link, Both):
            fits = matches(link.right, subject)
    return fits


def parents_named(node: Node) -> set[str]:
    """Every folder id that the query mentions."""
    return {leaf.value for leaf in _leaves(node) if isinstance(leaf, Member) and leaf.collection == "parents"}


def required_parent(node: Node) -> str | None:
    """A folder that every match must lie in, when the query says so outright; it narrows the search, no more."""
    first, rest = _spine(node)
    if any(isinstance(link, Either) for link in rest):
        return None
    needed = [first] + [link.right for link in rest]
    named = (part.value for part in needed if isinstance(part, Member) and part.collection == "parents")
    return next(named, None)


def tokens(text: str) -> list[str]:
    """The runs of letters and digits in `text`, without regard to case."""
    return re.findall(r"[^\W_]+", text.casefold())


def name_contains(name: str, wanted: str) -> bool:
    """Whether each token of `wanted` begins some token of `name`; in double quotes, one after another."""
    have = tokens(name)
    if len(wanted) > 2 and wanted.startswith('"') and wanted.endswith('"'):
        return _phrase(have, tokens(wanted))
    asked = tokens(wanted)
    # A text without any letter or digit asks for nothing that could be found.
    return bool(asked) and all(any(token.startswith(part) for token in have) for part in asked)


def _spine(node: Node) -> tuple[Node, list[Both | Either]]:
    """The first operand and what is joined to it, in order: a query of a thousand clauses leans to the left."""
    links: list[Both | Either] = []
    while isinstance(node, Both | Either):
        links.append(node)
        node = node.left
    return node, links[::-1]


def _fits(node: Node, subject: Subject) -> bool:
    match node:
        case Not(inner):
            return not matches(inner, subject)
        case Member(value, collection):
            return subject.is_me(value) in subject.members(collection)
        case Has(field, key, value):
            return subject.has_property(field, key, value)
        case Compare():
            return _compares(node, subject)
    raise TypeError(f"no clause: {node!r}")


def matches_name(node: Compare, name: str) -> bool:
    """Whether a comparison of `name` holds, for things that have no more than a name."""
    if node.operator == "contains":
        return name_contains(name, str(node.value))
    return (name == node.value) == (node.operator == "=")


def _compares(node: Compare, subject: Subject) -> bool:
    field, operator, value = node.field, node.operator, node.value
    if isinstance(value, bool):
        flag = {"trashed": subject.trashed, "starred": subject.starred, "sharedWithMe": subject.shared_with_me}[field]
        return (flag == value) == (operator == "=")
    if field in TIMES:
        return _time_compares(subject.time(field), operator, moment_of(value))
    if field == "name":
        return matches_name(node, subject.name)
    if operator == "contains":
        if field == "mimeType":
            return subject.mime_type.startswith(value)
        have, asked = tokens(subject.text), tokens(value)
        if len(value) > 2 and value.startswith('"') and value.endswith('"'):
            return _phrase(have, asked)
        return bool(asked) and set(asked) <= set(have)
    held = subject.mime_type if field == "mimeType" else subject.visibility
    return (held == value) == (operator == "=")


def _time_compares(have: datetime | None, operator: str, asked: datetime) -> bool:
    if have is None:
        return operator == "!="
    return {
        "=": have == asked,
        "!=": have != asked,
        "<": have < asked,
        "<=": have <= asked,
        ">": have > asked,
        ">=": have >= asked,
    }[operator]


def _phrase(have: list[str], asked: list[str]) -> bool:
    length = len(asked)
    return bool(asked) and any(have[at : at + length] == asked for at in range(len(have) - length + 1))


def moment_of(value: str) -> datetime:
    """The time that a query names; without an offset it is UTC. Raises DriveError (400 invalid)."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid("Invalid Value", "q") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _leaves(node: Node) -> Iterator[Node]:
    first, rest = _spine(node)
    for part in (first, *(link.right for link in rest)):
        if isinstance(part, Not):
            yield from _leaves(part.inner)
        elif isinstance(part, Both | Either):
            yield from _leaves(part)
        else:
            yield part
