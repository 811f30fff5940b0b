"""The rules of one datasite, compiled: who may read, write or administer a path.

Invariant: a path is decided by exactly one permission file, the deepest one on the way to it (or the first `terminal`
one from the top), and in that file by exactly one rule, the most specific one that matches. Whatever is not granted
there is denied; only the owner stands above the rules. A file that cannot be read closes everything below it, since
nobody knows whether it was terminal.

Used by the control thread only.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from syftd.errors import Malformed
from syftd.names import PERMISSION_FILE, Email
from syftd.rules.ruleset import (
    EVERYONE,
    REQUESTER,
    USER_EMAIL,
    Rule,
    Ruleset,
    for_user,
    is_glob,
    matcher,
    parse,
    ranked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Level = Literal["read", "write", "admin"]

ANY_CHILD: Final = "__any__"
"""A made-up name: what holds for it in a folder is the answer to a question about the folder."""

_READ, _WRITE, _ADMIN = 1, 2, 4
_BITS: Final = {"read": _READ, "write": _WRITE, "admin": _ADMIN}
_MEMORY: Final = 16_384
"""Answers kept per cache; peers choose paths, so a cache that is full starts anew instead of growing."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a user may do with a path, and why. `governing` is the path of the permission file that decides, `rule` the
    number of the deciding rule in it, counted from 1; both None when there is none. `text` says it in words."""

    read: bool
    write: bool
    admin: bool
    governing: str | None
    rule: int | None
    pattern: str | None
    text: str


def user_matches(entry: str, user: str) -> bool:
    """Whether an entry of a list means `user`. `USER` means whoever asks: a template rule has already matched with the
    requester's own address, and any other rule lets everybody in."""
    if entry in (user, EVERYONE, REQUESTER):
        return True
    return ("*" in entry or "?" in entry) and fnmatch.fnmatchcase(user, entry)


def permission_file(directory: str) -> str:
    """The path of the permission file in `directory` ('' for the top)."""
    return f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE


class Access:
    """Who may do what in one datasite. Directories are canonical paths, '' for the top."""

    def __init__(self, owner: Email) -> None:
        self.owner = owner
        self.generation = 0
        """Grows with every change of the rules; answers of the same generation are the same."""
        self._files: dict[str, _File] = {}
        self._governors: dict[str, _File | None] = {}

    def set(self, directory: str, text: bytes) -> None:
        """Takes `text` as the permission file of `directory`. A malformed one is kept as broken, see `problems`."""
        try:
            file = _File(directory, parse(text), None)
        except Malformed as error:
            self.broken(directory, str(error))
            return
        self._put(file)

    def broken(self, directory: str, reason: str) -> None:
        """Notes that the permission file of `directory` cannot be used: everything below is the owner's alone."""
        self._put(_File(directory, Ruleset(terminal=True), reason))

    def drop(self, directory: str) -> None:
        """Forgets the permission file of `directory`; what it governed is governed from above again."""
        if self._files.pop(directory, None) is not None:
            self._changed()

    def problems(self) -> dict[str, str]:
        """The reason for each directory whose permission file is broken."""
        return {file.directory: file.reason for file in self._files.values() if file.reason is not None}

    def directories(self) -> list[str]:
        """The directories that have a permission file, broken ones too, in order."""
        return sorted(self._files)

    def may_read(self, user: str, path: str) -> bool:
        """Whether `user` may read `path`."""
        return self._may(user, path, _READ)

    def may_write(self, user: str, path: str) -> bool:
        """Whether `user` may write `path`."""
        return self._may(user, path, _WRITE)

    def may_admin(self, user: str, path: str) -> bool:
        """Whether `user` may change the permission file that decides about `path`."""
        return self._may(user, path, _ADMIN)

    def readers(self, path: str, among: Collection[Email]) -> frozenset[Email]:
        """Those of `among` who may read `path`."""
        file = self._governor(path)
        if file is None:
            return frozenset((self.owner,)) if self.owner in among else frozenset()
        owner, relative = self.owner, path[file.prefix :]
        bit = _ADMIN if path.endswith(PERMISSION_FILE) else _READ
        if file.templates:
            return frozenset([user for user in among if user == owner or file.levels(relative, user) & bit])
        rule = file.common(relative)
        if rule is None:
            return frozenset((owner,)) if owner in among else frozenset()
        known, levels = rule.known, rule.levels
        return frozenset([u for u in among if (known[u] if u in known else levels(u)) & bit or u == owner])

    def public(self, path: str) -> bool:
        """Whether literally everybody may read `path`, known or not. In doubt, no: a rule for each requester that might
        take the path away from somebody makes it not public."""
        file = self._governor(path)
        if file is None:
            return False
        relative = path[file.prefix :]
        bit = _ADMIN if path.endswith(PERMISSION_FILE) else _READ
        rule = file.common(relative)
        if rule is None or not rule.everyone & bit:
            return False
        return all(template.everyone & bit or not template.might_match(relative) for template in file.templates)

    def governed_by(self, path: str) -> str | None:
        """The path of the permission file that decides about `path`, None when there is none."""
        file = self._governor(path)
        return None if file is None else permission_file(file.directory)

    def explain(self, user: str, path: str) -> Explanation:
        """What `user` may do with `path`, and which rule of which file says so."""
        bits = [bit for bit in (_READ, _WRITE, _ADMIN) if self._may(user, path, bit)]
        file = self._governor(path)
        rule = None if file is None else file.rule(path[file.prefix :], user)
        governing = None if file is None else permission_file(file.directory)
        number = None if rule is None else rule.index + 1
        if user == self.owner:
            because = "the owner of the datasite may do everything"
        elif file is None or governing is None:
            because = f"no {PERMISSION_FILE} governs it, so only the owner has access"
        elif file.reason is not None:
            because = f"{governing} cannot be used ({file.reason}), so everything below it is closed"
        elif rule is None:
            because = f"no rule in {governing} matches it"
        else:
            because = f"rule {number} (“{rule.rule.pattern}”) in {governing} decides"
            if path.endswith(PERMISSION_FILE):
                because += f", and whatever ends in {PERMISSION_FILE} needs admin access"
            elif not bits:
                because += " and does not name them"
        verbs = [word for bit, word in ((_READ, "read"), (_WRITE, "write"), (_ADMIN, "administer")) if bit in bits]
        may = f"may {', '.join(verbs)}" if verbs else "has no access to"
        return Explanation(
            _READ in bits,
            _WRITE in bits,
            _ADMIN in bits,
            governing,
            number,
            None if rule is None else rule.rule.pattern,
            f"{user} {may} {path}: {because}.",
        )

    def _may(self, user: str, path: str, bit: int) -> bool:
        if user == self.owner:
            return True
        file = self._governor(path)
        if file is None:
            return False
        if path.endswith(PERMISSION_FILE):
            bit = _ADMIN
        return file.levels(path[file.prefix :], user) & bit != 0

    def _governor(self, path: str) -> _File | None:
        directory = path.rpartition("/")[0]
        try:
            return self._governors[directory]
        except KeyError:
            pass
        found = self._files.get("")
        end = 0
        while directory and end != -1 and not (found is not None and found.ruleset.terminal):
            end = directory.find("/", end + 1)
            found = self._files.get(directory if end == -1 else directory[:end], found)
        if len(self._governors) >= _MEMORY:
            self._governors.clear()
        self._governors[directory] = found
        return found

    def _put(self, file: _File) -> None:
        before = self._files.get(file.directory)
        if before is None or (before.ruleset, before.reason) != (file.ruleset, file.reason):
            self._files[file.directory] = file
            self._changed()

    def _changed(self) -> None:
        self._governors.clear()
        self.generation += 1


class _File:
    """One permission file, its rules in the order in which they are asked. `reason` says why a broken one is broken."""

    def __init__(self, directory: str, ruleset: Ruleset, reason: str | None) -> None:
        self.directory = directory
        self.prefix = len(directory) + 1 if directory else 0
        self.ruleset = ruleset
        self.reason = reason
        self.templates: list[_Compiled] = []
        self._globs: list[tuple[int, Callable[[str], object], _Compiled]] = []
        self._exact: dict[str, tuple[int, _Compiled]] = {}
        for rank, (index, rule) in enumerate(ranked(ruleset.rules)):
            compiled = _Compiled(index, rule)
            if rule.is_template:
                self.templates.append(compiled)
            elif is_glob(rule.pattern):
                self._globs.append((rank, matcher(rule.pattern), compiled))
            else:
                self._exact.setdefault(rule.pattern, (rank, compiled))

    def common(self, relative: str) -> _Compiled | None:
        """The deciding rule for whomever no template rule matches."""
        exact_rank, exact = self._exact.get(relative, (-1, None))
        for rank, matches, rule in self._globs:
            if exact is not None and rank > exact_rank:
                return exact
            if matches(relative):
                return rule
        return exact

    def rule(self, relative: str, user: str) -> _Compiled | None:
        """The deciding rule for `user`. Template rules are more specific than all others."""
        for template in self.templates:
            if template.matches_for(user)(relative):
                return template
        return self.common(relative)

    def levels(self, relative: str, user: str) -> int:
        rule = self.rule(relative, user)
        return 0 if rule is None else rule.levels(user)


class _Compiled:
    """One rule: for whom it grants what. `everyone` holds the levels that it grants without looking at the user."""

    def __init__(self, index: int, rule: Rule) -> None:
        self.index = index
        self.rule = rule
        self.everyone = _granted(rule, lambda entry: entry in (EVERYONE, REQUESTER))
        self.known: dict[str, int] = {}
        self._for: dict[str, Callable[[str], object]] = {}
        if rule.is_template:
            matcher(rule.pattern.replace(USER_EMAIL, "someone@example.org"))  # Raises now what would be raised later.

    def levels(self, user: str) -> int:
        """The levels of `user` by this rule, lower ones included."""
        found = self.known.get(user)
        if found is None:
            if len(self.known) >= _MEMORY:
                self.known.clear()
            found = self.known[user] = _granted(self.rule, lambda entry: user_matches(entry, user))
        return found

    def matches_for(self, user: str) -> Callable[[str], object]:
        """The matcher of a template rule with the address of `user` filled in."""
        found = self._for.get(user)
        if found is None:
            if len(self._for) >= _MEMORY:
                self._for.clear()
            found = self._for[user] = matcher(for_user(self.rule.pattern, user))
        return found

    def might_match(self, relative: str) -> bool:
        """Whether a template rule could match for some address; yes when that is hard to tell."""
        pattern = self.rule.pattern
        if "[" in pattern or "\\" in pattern:
            return True
        # Every address has an '@' with something before and after it, no '/' and no dot in front.
        return bool(matcher(pattern.replace(USER_EMAIL, "?*@?*"))(relative))


def _granted(rule: Rule, means: Callable[[str], bool]) -> int:
    if any(means(entry) for entry in rule.admin):
        return _READ | _WRITE | _ADMIN
    if any(means(entry) for entry in rule.write):
        return _READ | _WRITE
    return _READ if any(means(entry) for entry in rule.read) else 0
