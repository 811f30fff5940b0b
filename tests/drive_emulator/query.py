"""The search language of files.list: text to a tree, a tree to text, and a tree applied to one file.

What cannot be read is refused (400 invalid); nothing is ever skipped. As in the service, `and` and `or` bind equally and
from left to right, and `name contains` compares tokens (runs of letters and digits) by their beginnings, whatever their order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from tests.drive_emulator.errors import DriveError, invalid

_ORDER: Final = ("=", "!=", "<", "<=", ">", ">=")
_OPERATORS: Final[dict[str, tuple[str, ...]]] = {
    "name": ("=", "!=", "contains"),
    "fullText": ("contains",),
    "mimeType": ("=", "!=", "contains"),
    "modifiedTime": _ORDER,
    "createdTime": _ORDER,
    "viewedByMeTime": _ORDER,
    "visibility": ("=", "!="),
    "trashed": ("=", "!="),
    "starred": ("=", "!="),
    "sharedWithMe": ("=", "!="),
    "properties": ("has",),
    "appProperties": ("has",),
}
_FLAGS: Final = ("trashed", "starred", "sharedWithMe")
_TIMES: Final = ("modifiedTime", "createdTime", "viewedByMeTime")
_COLLECTIONS: Final = ("parents", "owners", "writers", "readers")
_VISIBILITIES: Final = ("anyoneCanFind", "anyoneWithLink", "domainCanFind", "domainWithLink", "limited")
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z][A-Za-z]*)|(?P<symbol><=|>=|!=|[=<>(){}]))", re.DOTALL
)


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


def parse(text: str) -> Node:
    """The tree of a query. Raises DriveError (400 invalid) for anything that is not one."""
    parser = _Parser(text)
    node = parser.expression()
    parser.end()
    return node


def render(node: Node) -> str:
    """The text of a tree, with parentheses wherever the reading from left to right would differ."""
    match node:
        case Compare(field, operator, value):
            if isinstance(value, bool):
                return f"{field} {operator} {'true' if value else 'false'}"
            return f"{field} {operator} {_quoted(value)}"
        case Member(value, collection):
            return f"{_quoted(value)} in {collection}"
        case Has(field, key, value):
            return f"{field} has {{ key={_quoted(key)} and value={_quoted(value)} }}"
        case Not(inner):
            return f"not {_grouped(inner)}"
        case Both(left, right):
            return f"{render(left)} and {_grouped(right)}"
        case Either(left, right):
            return f"{render(left)} or {_grouped(right)}"


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
    if field in _TIMES:
        return _time_compares(subject.time(field), operator, _time(value))
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


def _time(value: str) -> datetime:
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


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _grouped(node: Node) -> str:
    return f"({render(node)})" if isinstance(node, Both | Either) else render(node)


class _Parser:
    """expression = operand {("and" | "or") operand};  operand = "not" operand | "(" expression ")" | clause."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._refusal()
            kind = found.lastgroup or ""
            self._tokens.append((kind, found[kind]))
            at = found.end()
        self._next = 0

    @staticmethod
    def _refusal() -> DriveError:
        return invalid("Invalid Value", "q")

    def end(self) -> None:
        if self._next != len(self._tokens):
            raise self._refusal()

    def expression(self, depth: int = 0) -> Node:
        if depth > 100:
            raise self._refusal()
        node = self._operand(depth)
        while (kind := self._peek()) and kind[0] == "word" and kind[1].lower() in ("and", "or"):
            word = self._take()[1].lower()
            right = self._operand(depth)
            node = Both(node, right) if word == "and" else Either(node, right)
        return node

    def _operand(self, depth: int) -> Node:
        negations = 0
        while (token := self._peek()) and token[0] == "word" and token[1].lower() == "not":
            self._take()
            negations += 1
        if negations > 100:
            raise self._refusal()
        node = self._primary(depth)
        for _ in range(negations):
            node = Not(node)
        return node

    def _primary(self, depth: int) -> Node:
        kind, text = self._take()
        if (kind, text) == ("symbol", "("):
            node = self.expression(depth + 1)
            self._expect("symbol", ")")
            return node
        if kind == "string":
            self._expect("word", "in")
            collection = self._take()
            if collection[0] != "word" or collection[1] not in _COLLECTIONS:
                raise self._refusal()
            return Member(_unquoted(text), collection[1])
        if kind != "word" or text not in _OPERATORS:
            raise self._refusal()
        return self._clause(text)

    def _clause(self, field: str) -> Node:
        following = self._peek()
        if field == "sharedWithMe" and (following is None or following[1] not in ("=", "!=")):
            return Compare(field, "=", True)
        operator = self._take()[1]
        if operator not in _OPERATORS[field]:
            raise self._refusal()
        if operator == "has":
            return self._property(field)
        kind, text = self._take()
        if field in _FLAGS:
            if kind != "word" or text not in ("true", "false"):
                raise self._refusal()
            return Compare(field, operator, text == "true")
        if kind != "string":
            raise self._refusal()
        value = _unquoted(text)
        if field in _TIMES:
            _time(value)
        if field == "visibility" and value not in _VISIBILITIES:
            raise self._refusal()
        return Compare(field, operator, value)

    def _property(self, field: str) -> Has:
        self._expect("symbol", "{")
        found: dict[str, str] = {}
        for position in range(2):
            if position:
                self._expect("word", "and")
            name = self._take()
            self._expect("symbol", "=")
            kind, text = self._take()
            if name not in (("word", "key"), ("word", "value")) or name[1] in found or kind != "string":
                raise self._refusal()
            found[name[1]] = _unquoted(text)
        self._expect("symbol", "}")
        return Has(field, found["key"], found["value"])

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        if token is None:
            raise self._refusal()
        self._next += 1
        return token

    def _expect(self, kind: str, text: str) -> None:
        found = self._take()
        if found[0] != kind or (found[1].lower() if kind == "word" else found[1]) != text:
            raise self._refusal()


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
