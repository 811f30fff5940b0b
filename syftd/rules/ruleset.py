"""The permission file `syft.pub.yaml` as a value: read with hard limits, written in the network's key order; and what
its patterns mean.

A *rule* says which paths it is for (`pattern`, relative to the file's directory) and who may read, write or administer
them. The order in which rules are asked is by specificity, not by their place in the file; the place decides ties.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from syftd.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_FILE_BYTES: Final = 256 * 1024
MAX_RULES: Final = 5_000
MAX_ENTRIES: Final = 50_000
"""Entries of all lists together: YAML aliases repeat a list without repeating its bytes; this bounds that."""
MAX_WILDCARD_ENTRIES: Final = 1_000
MAX_SCALAR: Final = 4_096
"""Characters of one pattern or entry, the longest path there is; also keeps YAML's number parsing cheap."""
MAX_GLOBSTARS: Final = 16

USER_EMAIL: Final = "{{.UserEmail}}"
"""Stands for the requester's address in a pattern."""
REQUESTER: Final = "USER"
"""In a list: the requester, in a rule with `USER_EMAIL`; everybody, in any other rule."""
EVERYONE: Final = "*"

_MAX_DEPTH: Final = 8
_GLOB = re.compile(r"[*?[]")
_TEMPLATE = re.compile(r"\{\{\.[A-Za-z0-9_]+\}\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do what with the paths that `pattern` matches. Admin includes write, write includes read."""

    pattern: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()

    @property
    def is_template(self) -> bool:
        """Whether the pattern means something else for each requester."""
        return USER_EMAIL in self.pattern


@dataclass(frozen=True, slots=True)
class Ruleset:
    """One permission file. `terminal`: no permission file further down counts."""

    rules: tuple[Rule, ...] = ()
    terminal: bool = False


def is_glob(pattern: str) -> bool:
    """Whether `pattern` holds a glob character; without one it matches only the path that it spells."""
    return _GLOB.search(pattern) is not None


def specificity(pattern: str) -> tuple[int, int, int, int, int]:
    """The network's measure of how narrow a pattern is; the larger one is asked first."""
    segments = pattern.split("/")
    globstars = segments.count("**")
    literal = sum(not is_glob(segment) for segment in segments)
    return int(USER_EMAIL in pattern), literal, len(segments) - literal - globstars, -globstars, len(segments)


def ranked(rules: Iterable[Rule]) -> list[tuple[int, Rule]]:
    """The rules in the order in which they are asked, each with its index in the file; ties keep the file's order."""
    return sorted(enumerate(rules), key=lambda item: specificity(item[1].pattern), reverse=True)


def needs_segments(pattern: str) -> bool:
    """Whether a match as one regular expression could take time polynomial in the path: two or more separate `**`.
    Such a pattern is matched segment by segment instead."""
    previous, runs = "", 0
    for segment in pattern.split("/"):
        runs += segment == "**" and previous != "**"
        previous = segment
    return runs > 1


def is_plain(pattern: str) -> bool:
    """Whether '/' alone cuts the pattern into segments: no escapes, no empty segments."""
    return "\\" not in pattern and "" not in pattern.split("/")


def for_user(pattern: str, user: str) -> str:
    """`pattern` with the requester's address filled in; glob characters in the address stand for themselves, so that
    nobody gains by the address they chose."""
    if is_glob(pattern):
        user = re.sub(r"([*?[])", r"[\1]", user)
    return pattern.replace(USER_EMAIL, user)


def matcher(pattern: str) -> Callable[[str], object]:
    """A function that says whether a path matches `pattern`, as wcmatch's globmatch with GLOBSTAR does. Raises
    Malformed when the pattern cannot be compiled."""
    if not is_glob(pattern):
        return lambda path: path == pattern
    if pattern == "**" or (pattern.endswith("/**") and not is_glob(pattern[:-3]) and is_plain(pattern)):
        return _below(pattern[:-2])
    if needs_segments(pattern):
        return Segments(pattern).match
    # Imported only here: most permission files need nothing of it, and it costs time and memory to load.
    from wcmatch import glob

    try:
        # CASE and FORCEUNIX are what GLOBSTAR alone means on Linux; said aloud, it means the same on every machine.
        positive, _ = glob.translate(pattern, flags=glob.GLOBSTAR | glob.CASE | glob.FORCEUNIX)
        return re.compile(positive[0]).fullmatch
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise Malformed(f"the pattern “{pattern:.80}” cannot be compiled: {error!s:.120}") from None


def parse(text: bytes | str) -> Ruleset:
    """The permission file in `text`; an empty one has no rules. Raises Malformed with the reason when it breaks the
    format or a limit. Nothing is repaired: a file that is half understood could grant what was not meant."""
    source = _decoded(text)
    document = _load(source)
    if document is None:
        return Ruleset()
    if not isinstance(document, dict):
        raise _malformed(f"the top of the file must be “rules:” and “terminal:”, not {_kind(document)}")
    terminal = document.get("terminal", False)
    if not isinstance(terminal, bool):
        raise _malformed(f"“terminal” must be true or false, not {_kind(terminal)}")
    rules = document.get("rules", [])
    if not isinstance(rules, list):
        raise _malformed(f"“rules” must be a list, not {_kind(rules)}")
    if len(rules) > MAX_RULES:
        raise _malformed(f"there are {len(rules)} rules; at most {MAX_RULES} are read")
    left = MAX_ENTRIES
    wildcards = 0
    parsed = []
    for number, raw in enumerate(rules, 1):
        rule = _rule(number, raw, left)
        left -= len(rule.read) + len(rule.write) + len(rule.admin)
        wildcards += sum(_is_wildcard(entry) for entries in (rule.read, rule.write, rule.admin) for entry in entries)
        if wildcards > MAX_WILDCARD_ENTRIES:
            raise _malformed(f"more than {MAX_WILDCARD_ENTRIES} entries are address patterns")
        parsed.append(rule)
    return Ruleset(tuple(parsed), terminal)


def render(ruleset: Ruleset) -> str:
    """The file's text; `parse` of it gives the same value again."""
    import yaml

    # Fresh lists throughout: the same list twice would be written as a YAML alias.
    rules = [
        {
            "pattern": rule.pattern,
            "access": {"admin": list(rule.admin), "read": list(rule.read), "write": list(rule.write)},
        }
        for rule in ruleset.rules
    ]
    document = {"rules": rules, "terminal": ruleset.terminal}
    # Letters of all languages are written as they are, but what has no picture (U+0085 for one) would not be read back.
    seen = all(
        text.isprintable() for rule in ruleset.rules for text in (rule.pattern, *rule.read, *rule.write, *rule.admin)
    )
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=seen, default_flow_style=False, width=1_000)
    return text


def _decoded(text: bytes | str) -> str:
    try:
        raw = text.encode("utf-8") if isinstance(text, str) else text
        if len(raw) > MAX_FILE_BYTES:
            raise _malformed(f"it has {len(raw)} bytes; at most {MAX_FILE_BYTES} are read")
        return raw.decode("utf-8-sig")
    except UnicodeError:
        raise _malformed("it is not UTF-8 text") from None


def _load(source: str) -> Any:
    """The YAML document as plain values. A first pass over the events keeps out what would cost the second one too
    much: deep nesting, merge keys (they multiply), and scalars that take long to turn into numbers."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(source, Loader=loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    raise _malformed(f"it is nested more than {_MAX_DEPTH} deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.ScalarEvent):
                if len(event.value) > MAX_SCALAR:
                    raise _malformed(f"a text in it is longer than {MAX_SCALAR} characters")
                if (event.implicit[0] and event.value == "<<") or event.tag == "tag:yaml.org,2002:merge":
                    raise _malformed("YAML merge keys (“<<”) are not read")
        return yaml.load(source, Loader=loader)
    except yaml.YAMLError as error:
        raise _malformed(_where(error)) from None
    except (ValueError, OverflowError, RecursionError, TypeError, AttributeError, KeyError) as error:
        # The YAML library lets its scalar constructors' own errors through, for an impossible date for instance.
        raise _malformed(f"a value in it cannot be read: {error!s:.120}") from None


def _rule(number: int, raw: object, left: int) -> Rule:
    if not isinstance(raw, dict):
        raise _malformed(f"rule {number} must have “pattern” and “access”, but it is {_kind(raw)}")
    pattern = raw.get("pattern")
    if not isinstance(pattern, str):
        raise _malformed(f"rule {number}: “pattern” must be a text, not {_kind(pattern)}; quote it")
    _check_pattern(number, pattern)
    if "access" not in raw:
        raise _malformed(f"rule {number} (“{pattern:.80}”) has no “access”")
    access = raw["access"]
    if not isinstance(access, dict):
        raise _malformed(f"rule {number}: “access” must hold read, write and admin lists, not {_kind(access)}")
    lists = []
    for level in ("read", "write", "admin"):
        entries = access.get(level, [])
        if not isinstance(entries, list):
            raise _malformed(f"rule {number}: “{level}” must be a list, not {_kind(entries)}")
        left -= len(entries)
        if left < 0:
            raise _malformed(f"its lists have more than {MAX_ENTRIES} entries together")
        for entry in entries:
            if not isinstance(entry, str):
                raise _malformed(f"rule {number}: an entry of “{level}” must be a text, not {_kind(entry)}; quote it")
        lists.append(tuple(entries))
    return Rule(pattern, *lists)


def _check_pattern(number: int, pattern: str) -> None:
    for found in _TEMPLATE.findall(pattern):
        if found != USER_EMAIL:
            raise _malformed(f"rule {number}: the template {found:.60} is not supported, only {USER_EMAIL}")
    if not is_glob(pattern):
        return
    if pattern.split("/").count("**") > MAX_GLOBSTARS:
        raise _malformed(f"rule {number}: the pattern has more than {MAX_GLOBSTARS} “**”")
    if needs_segments(pattern) and not is_plain(pattern):
        raise _malformed(f"rule {number}: a pattern with several “**” can have neither backslashes nor empty parts")


def _is_wildcard(entry: str) -> bool:
    return entry != EVERYONE and ("*" in entry or "?" in entry)


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), f"of type {type(value).__name__}")


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it is not YAML"
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def _malformed(reason: str) -> Malformed:
    return Malformed(reason, "Correct the permission file; until then it grants nothing.")


def _below(prefix: str) -> Callable[[str], object]:
    """Matches `prefix` + '**' for a literal prefix: everything below, except what has a dot-named part."""
    size = len(prefix)

    def matches(path: str) -> bool:
        rest = path[size:]
        return rest != "" and path.startswith(prefix) and rest[0] != "." and "/." not in rest

    return matches


class Segments:
    """A pattern cut at '/', matched part by part: the places in the pattern that may come next are carried from one
    part of the path to the following one. Takes time linear in the path, whatever the number of '**'. Needs
    `is_plain`."""

    def __init__(self, pattern: str) -> None:
        self.segments = pattern.split("/")
        self.end = len(self.segments)
        self._matches = [None if segment == "**" else matcher(segment) for segment in self.segments]
        self._tail = self.end
        while self._tail and self._matches[self._tail - 1] is None:
            self._tail -= 1
        self.start = self._opened(0)

    def step(self, places: frozenset[int], name: str) -> frozenset[int]:
        """The places that may come after one more part of a path; none when it cannot match any more."""
        following: set[int] = set()
        for place in places:
            if place == self.end:
                continue
            matches = self._matches[place]
            if matches is None:
                if not name.startswith("."):
                    following |= self._opened(place)
                    if place >= self._tail:
                        following.add(self.end)
            elif matches(name):
                following |= self._opened(place + 1)
        return frozenset(following)

    def match(self, path: str) -> bool:
        """Whether the whole path matches."""
        places = self.start
        for name in path.split("/"):
            places = self.step(places, name)
            if not places:
                return False
        return self.end in places

    def _opened(self, place: int) -> frozenset[int]:
        """`place` and those after it that need no part of the path to be reached: '**' may stand for nothing, but not
        at the end of a pattern, where `d/**` means what is in `d` and not `d` itself."""
        last = place
        while last < self._tail and self._matches[last] is None:
            last += 1
        return frozenset(range(place, last + 1))
