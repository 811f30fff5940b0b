"""Text from strangers, made legible: nothing in it can steer a terminal, hide, or read otherwise than it runs."""

from __future__ import annotations

import codecs
import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

DIFF_BYTES: Final = 256 * 1024
"""Larger texts are not compared line by line."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
_UNSEEN_KINDS: Final = frozenset({"Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
# Fillers and joiners that are letters or marks to Unicode and nothing to the eye.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_COMPARED_LINES: Final = 800
"""The comparison takes time quadratic in the lines for texts made to be slow; longer changes are shown as a whole."""
_CONTEXT: Final = 3


class _Shown(dict[int, str]):
    """How each character is shown; filled in as characters are met, so only as large as one text is varied."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in "\n\t":
            shown = char
        elif code < 0x20:
            shown = chr(0x2400 + code)
        elif code == 0x7F:
            shown = "␡"
        elif 0x80 <= code <= 0x9F or _hides(char):
            shown = f"\\u{{{code:x}}}"
        else:
            shown = char
        self[code] = shown
        return shown


def safe(text: str) -> str:
    """`text` with control characters as pictures (␛) and what cannot be seen as ``\\u{…}``; line ends and tabs stay."""
    return text.translate(_Shown())


def decoded(content: bytes) -> str:
    """Bytes as text for people; those that are no UTF-8 as ``\\xNN``."""
    return content.decode("utf-8", "backslashreplace")


def hides(text: str) -> bool:
    """Whether `text` holds characters that cannot be seen or that change the order of others."""
    return not text.isascii() and any(map(_hides, set(text)))


def warnings(content: bytes, *, whole: bool) -> list[str]:
    """What a reviewer should know about a file: ``binary``, ``control-characters``, ``hidden-unicode``. `whole` is
    false when `content` is only its beginning."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError:
        return ["binary"]
    if "\0" in text:
        return ["binary"]
    found = ["control-characters"] if _CONTROL.search(text) else []
    return [*found, "hidden-unicode"] if hides(text) else found


def unified(old: str, new: str) -> str:
    """The lines that differ, in unified form with three lines around them, safe to show; '' when none does."""
    before, after = _lines(safe(old)), _lines(safe(new))
    marked = list(_marked(before, after))
    near: set[int] = set()
    for index, (mark, _) in enumerate(marked):
        if mark != " ":
            near.update(range(max(0, index - _CONTEXT), min(len(marked), index + _CONTEXT + 1)))
    out: list[str] = []
    at = {" ": 1, "-": 1, "+": 1}
    hunk: list[str] = []
    start = (1, 1)
    for index, (mark, line) in enumerate(marked):
        if index in near:
            if not hunk:
                start = (at["-"], at["+"])
            hunk.append(mark + line)
        elif hunk:
            out += [_head(start, hunk), *hunk]
            hunk = []
        at["-"] += mark in " -"
        at["+"] += mark in " +"
    if hunk:
        out += [_head(start, hunk), *hunk]
    return "\n".join(out)


def _hides(char: str) -> bool:
    if char < "\xa0":
        return False
    selects = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return selects or char in _UNSEEN or unicodedata.category(char) in _UNSEEN_KINDS


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    elif text:
        lines[-1] += "  (no line end)"
    return lines


def _marked(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every line once, marked with ' ' for both, '-' for before only, '+' for after only."""
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    tail = next((i for i in range(shorter - head) if before[-1 - i] != after[-1 - i]), shorter - head)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    yield from ((" ", line) for line in before[:head])
    if max(len(old), len(new)) > _COMPARED_LINES:
        blocks = [(False, 0, len(old), 0, len(new))]
    else:
        found = difflib.SequenceMatcher(None, old, new).get_opcodes()
        blocks = [(kind == "equal", i, j, k, m) for kind, i, j, k, m in found]
    for equal, i, j, k, m in blocks:
        if equal:
            yield from ((" ", line) for line in old[i:j])
        else:
            yield from (("-", line) for line in old[i:j])
            yield from (("+", line) for line in new[k:m])
    yield from ((" ", line) for line in before[len(before) - tail :])


def _head(start: tuple[int, int], hunk: Sequence[str]) -> str:
    removed = sum(line[0] in " -" for line in hunk)
    added = sum(line[0] in " +" for line in hunk)
    # As diff and patch count: an empty side names the line before it.
    old, new = start[0] - (not removed), start[1] - (not added)
    return f"@@ -{old},{removed} +{new},{added} @@"
