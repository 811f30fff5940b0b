"""The search language of files.list as text: read into a tree, and written from one.

What cannot be read is refused (400 invalid); nothing is ever skipped. As in the service, `and` and `or` bind equally and
from left to right.
"""

from __future__ import annotations

import re
from typing import Final

from tests.drive_emulator.errors import DriveError, invalid
from tests.drive_emulator.query import COLLECTIONS, TIMES, Both, Compare, Either, Has, Member, Node, Not, moment_of

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
_VISIBILITIES: Final = ("anyoneCanFind", "anyoneWithLink", "domainCanFind", "domainWithLink", "limited")
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z][A-Za-z]*)|(?P<symbol><=|>=|!=|[=<>(){}]))", re.DOTALL
)


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
            if collection[0] != "word" or collection[1] not in COLLECTIONS:
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
        if field in TIMES:
            moment_of(value)
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
