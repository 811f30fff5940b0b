"""JSON from strangers: depth and number of values are counted before the parser may build anything.

A parser turns three bytes into sixty (``[],``), so a limit on bytes alone does not bound memory.
"""

from __future__ import annotations

import json
from typing import Final

from syftd.errors import Malformed, TooLarge

_LONGEST_NUMBER: Final = 40
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def parse(body: bytes, *, depth: int, values: int, containers: int) -> object:
    """The JSON value in `body` (UTF-8). At most `depth` levels, `values` strings and members, `containers` objects and
    arrays. Raises TooLarge over a limit, Malformed for anything that is not strict JSON (NaN and Infinity are not)."""
    return built(surveyed(body, depth=depth, values=values, containers=containers))


def surveyed(body: bytes, *, depth: int, values: int, containers: int) -> str:
    """The first half of `parse`: the text of `body`, within the limits. Whoever then lets go of `body` does not hold a
    large message twice while it is parsed."""
    _survey(body, depth, values, containers)
    # The codecs' errors hold the whole text; they are replaced outside of their `except`, so that nothing keeps it.
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    raise Malformed(f"the JSON cannot be read: {reason}")


def built(text: str) -> object:
    """The second half of `parse`: the value in a text that was surveyed."""
    try:
        return _PARSER.decode(text)
    except json.JSONDecodeError as error:
        reason = str(error)
    raise Malformed(f"the JSON cannot be read: {reason}")


def _survey(body: bytes, depth: int, values: int, containers: int) -> None:
    # Inside a string a run of backslashes is read from its start in pairs, and so does `replace`. What is left has no
    # escaped quotes: every second piece between quotes is outside of strings.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 2 * values:
        raise TooLarge(f"the JSON holds more than {values} strings")
    skeleton = b"".join(bare.split(b'"')[::2])
    if skeleton.count(b",") > values:
        raise TooLarge(f"the JSON holds more than {values} values")
    brackets = skeleton.translate(None, _NOT_BRACKETS)
    if len(brackets) > 2 * containers:
        raise TooLarge(f"the JSON holds more than {containers} objects and lists")
    level = 0
    for bracket in brackets:
        if bracket in b"[{":
            level += 1
            if level > depth:
                raise Malformed(f"the JSON is nested more than {depth} levels deep")
        else:
            level -= 1


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise Malformed("the JSON holds a number with too many digits")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > _LONGEST_NUMBER:
        raise Malformed("the JSON holds a number with too many digits")
    return float(digits)


def _not_a_number(word: str) -> object:
    raise Malformed(f"the JSON holds {word}, which is not a number")


_PARSER: Final = json.JSONDecoder(parse_int=_integer, parse_float=_real, parse_constant=_not_a_number)
