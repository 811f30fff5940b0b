"""Editing permission files for `share` and `unshare`: values in, values out, no file is touched here.

One rule decides about a path, so that a narrow rule takes the place of a wider one. An edit therefore *carves* the
shared file or folder out of the wider rules first: it writes narrow copies of the rules that decide there, with the
same lists, and only then adds or removes the user. Invariant: whatever the edit does not ask for stays as it was, for
everybody; where the order of the rules does not let that be expressed, nothing is edited and the error says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from syftd.errors import Malformed, UserError
from syftd.names import PERMISSION_FILE, RelPath
from syftd.rules.access import ANY_CHILD, Level, permission_file, user_matches
from syftd.rules.ruleset import (
    EVERYONE,
    MAX_SCALAR,
    Rule,
    Ruleset,
    Segments,
    for_user,
    is_glob,
    is_plain,
    matcher,
    parse,
    ranked,
    render,
    specificity,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEVELS: Final[tuple[Level, ...]] = ("read", "write", "admin")
_SPECIAL = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Revocation:
    """What to write, per directory, and the entries (`*`, an address pattern, `USER`) through which the user still has
    access: they stand for other people too, so they are not touched."""

    changed: tuple[tuple[str, Ruleset], ...]
    still: tuple[str, ...]


def grant(
    access_files: Mapping[str, Ruleset], path: str, is_directory: bool, user: str, level: Level
) -> tuple[str, Ruleset]:
    """The permission file, by directory, that lets `user` (an address, an address pattern or `*`) have `level` on the
    file or on everything in the folder `path` ('' is the top). Rules that single out files in the folder, and folders
    with a permission file of their own (`separate_below`), keep their word. Unchanged rules mean: had it already.

    Raises UserError when the user is no address, or when the rules cannot say it without changing somebody's access;
    Malformed when `path` is not canonical. The caller refuses beforehand when the governing file is broken.
    """
    _check(path, is_directory, user)
    if not is_directory and path.endswith(PERMISSION_FILE) and level != "admin":
        raise UserError(f"{path} follows admin access only", "Grant admin access, or share the files themselves.")
    found = _governing(access_files, path, is_directory)
    directory = found if found is not None else path if is_directory else path.rpartition("/")[0]
    ruleset = access_files[found] if found is not None else Ruleset()
    scope = _Scope(directory, path, is_directory)
    for _, template in ranked(ruleset.rules):
        if template.is_template and matcher(for_user(template.pattern, user))(scope.probe):
            if _grants(template, user, level):
                return directory, ruleset
            raise UserError(
                f"the rule “{template.pattern}” in {permission_file(directory)} decides about {path} for {user}",
                "It is asked before any rule for one path; change that rule in the file.",
            )
    pieces = _pieces(ruleset, scope)
    decider = next((piece for piece in pieces if matcher(piece.rule.pattern)(scope.probe)), None)
    for piece in pieces:
        if (piece is decider or piece.total) and not _grants(piece.rule, user, level):
            piece.edited = _with(piece.rule, user, level)
    whole = any(piece.total for piece in pieces)
    rest = None if whole else _with(Rule(scope.pattern), user, level)
    return directory, _assembled(ruleset, pieces, rest, scope)


def revoke(access_files: Mapping[str, Ruleset], path: str, is_directory: bool, user: str) -> Revocation:
    """The permission files, by directory, without the entries that name `user` for the file or for anything in the
    folder `path`, permission files further down included. Others keep what they have, and the user keeps what lies
    elsewhere, except through a template rule, where the entry goes as a whole. Raises as `grant` does."""
    _check(path, is_directory, user)
    changed: dict[str, Ruleset] = {}
    still: dict[str, None] = {}
    found = _governing(access_files, path, is_directory)
    if found is not None:
        changed[found] = _without(access_files[found], _Scope(found, path, is_directory), user, still)
    for directory in separate_below(access_files, path) if is_directory else ():
        rules = [_strip(rule, user, still) for rule in access_files[directory].rules]
        changed[directory] = replace(access_files[directory], rules=tuple(rules))
    differing = [(key, value) for key, value in sorted(changed.items()) if value != access_files[key]]
    return Revocation(tuple(differing), tuple(still))


def separate_below(access_files: Mapping[str, Ruleset], directory: str) -> list[str]:
    """The folders below `directory` whose own permission file governs them: sharing `directory` does not reach them."""
    top = directory + "/" if directory else ""
    below = [key for key in access_files if key != directory and key.startswith(top)]
    return sorted(key for key in below if _governing(access_files, key, True) == key)


def escape(path: str) -> str:
    """`path` as a pattern for itself alone, glob characters and templates in real names included."""
    return _SPECIAL.sub(r"[\g<0>]", path).replace("{{.", "[{]{.")


class _Scope:
    """The file or folder that is edited, seen from its permission file. `pattern` matches it: the file, or what is in
    the folder; `probe` is a path in it that stands for the whole."""

    def __init__(self, directory: str, path: str, is_directory: bool) -> None:
        relative = path[len(directory) + 1 :] if directory else path
        self.is_directory = is_directory
        self.file = permission_file(directory)
        self.path = path
        self.names = relative.split("/") if relative else []
        self.escaped = [escape(name) for name in self.names]
        ends = [ANY_CHILD] if is_directory else []
        self.probe = "/".join([*self.names, *ends])
        self.pattern = "/".join([*self.escaped, *(["**"] if is_directory else [])])
        if len(self.pattern) > MAX_SCALAR:
            raise UserError(f"{path:.60}… is too long for a rule", "Share the folder it lies in.")

    def inside(self, pattern: str) -> bool:
        """Whether the pattern can match nothing outside."""
        if not self.is_directory:
            return pattern == self.pattern
        segments = pattern.split("/")
        return len(segments) > len(self.names) and segments[: len(self.names)] == self.escaped

    def narrowed(self, pattern: str) -> list[str] | None:
        """Patterns that match together what `pattern` matches inside and nothing outside; None when hard to tell."""
        if self.inside(pattern):
            return [pattern]
        if not self.is_directory:
            return [self.pattern] if matcher(pattern)(self.probe) else []
        if not is_glob(pattern) or pattern.startswith("/"):
            return []
        if not is_plain(pattern):
            return None
        segments = Segments(pattern)
        places = segments.start
        for name in self.names:
            places = segments.step(places, name)
        # What follows a '**' is matched by the '**' as well, so only the first place of such a run is written.
        first = [p for p in sorted(places) if p < segments.end and not (p - 1 in places and _star(segments, p - 1))]
        return ["/".join([*self.escaped, *_shortened(segments.segments[place:])]) for place in first]

    def total(self, pattern: str) -> bool:
        """Whether an inner pattern leaves nothing inside to the rules asked after it."""
        if not self.is_directory:
            return True
        return set(pattern.split("/")[len(self.names) :]) == {"**"}


@dataclass(slots=True)
class _Piece:
    """One rule that may decide inside the scope. `narrowed` are the patterns for its copies there (itself when it lies
    inside); `edited` is the rule with its new lists, or None."""

    index: int
    rule: Rule
    narrowed: list[str]
    inside: bool
    total: bool
    edited: Rule | None = None


def _pieces(ruleset: Ruleset, scope: _Scope) -> list[_Piece]:
    """The rules that may decide in the scope for whomever no template rule matches, as they are asked."""
    pieces = []
    for index, rule in ranked(ruleset.rules):
        if rule.is_template:
            continue
        narrowed = scope.narrowed(rule.pattern)
        if narrowed is None:
            raise _inexpressible(scope, rule)
        if narrowed:
            total = any(scope.total(pattern) for pattern in narrowed)
            pieces.append(_Piece(index, rule, narrowed, scope.inside(rule.pattern), total))
            if total:
                break
    return pieces


def _assembled(ruleset: Ruleset, pieces: Sequence[_Piece], rest: Rule | None, scope: _Scope) -> Ruleset:
    """The rules with the edits carried out and `rest` asked after all of them. Tries to copy only the edited rules and
    to keep the file's order; raises UserError when no arrangement keeps the order in which rules are asked."""
    if rest is None and all(piece.edited is None for piece in pieces):
        return ruleset
    by_file = list(range(len(ruleset.rules)))
    by_rank = [index for index, _ in ranked(ruleset.rules)]
    for everything in (False, True):
        for order in (by_file, by_rank):
            arranged = _arranged(ruleset, pieces, rest, order, everything)
            if _keeps_order(arranged, ruleset, pieces, scope):
                return _checked(replace(ruleset, rules=tuple(rule for rule, _, _ in arranged)), scope)
    raise _inexpressible(scope, next((piece.rule for piece in pieces if piece.edited is not None), pieces[0].rule))


_Placed = tuple[Rule, int, bool]
"""A rule, the number of the piece that it carries out inside (-1: none), and whether it is a left original."""


def _arranged(
    ruleset: Ruleset, pieces: Sequence[_Piece], rest: Rule | None, order: Sequence[int], everything: bool
) -> list[_Placed]:
    numbers = {piece.index: number for number, piece in enumerate(pieces)}
    arranged: list[_Placed] = []
    for index in order:
        rule, number = ruleset.rules[index], numbers.get(index, -1)
        if number == -1:
            arranged.append((rule, -1, True))
            continue
        piece = pieces[number]
        edited = piece.edited or rule
        if piece.inside or (piece.edited is None and not everything):
            arranged.append((edited, number, False))
        else:
            # Before the original, so that a copy that is no more specific than it is asked first all the same.
            arranged += [(replace(edited, pattern=pattern), number, False) for pattern in piece.narrowed]
            arranged.append((rule, number, True))
    if rest is not None:
        arranged.append((rest, len(pieces), False))
    return arranged


def _keeps_order(arranged: Sequence[_Placed], ruleset: Ruleset, pieces: Sequence[_Piece], scope: _Scope) -> bool:
    """Whether each piece is asked before the later ones, and before every wider rule that could speak in its place."""
    asked = sorted(arranged, key=lambda placed: specificity(placed[0].pattern), reverse=True)
    waiting = sorted(number for _, number, original in asked if not original)
    for rule, number, original in asked:
        if not original:
            if waiting[0] != number:
                return False
            waiting.pop(0)
        elif number >= 0:
            if waiting and waiting[0] <= number:
                return False
        elif waiting and not rule.is_template and scope.narrowed(rule.pattern) != []:
            # Not a piece although it may match inside: it was asked after one that left nothing to it.
            return False
    return True


def _without(ruleset: Ruleset, scope: _Scope, user: str, still: dict[str, None]) -> Ruleset:
    """The rules without `user` inside the scope."""
    rules = list(ruleset.rules)
    for index, rule in ranked(ruleset.rules):
        if rule.is_template and scope.narrowed(for_user(rule.pattern, user)) != []:
            rules[index] = _strip(rule, user, still)
            if not scope.is_directory:
                return replace(ruleset, rules=tuple(rules))
    ruleset = replace(ruleset, rules=tuple(rules))
    pieces = _pieces(ruleset, scope)
    for piece in pieces:
        stripped = _strip(piece.rule, user, still)
        piece.edited = stripped if stripped != piece.rule else None
    edited = any(piece.edited is not None for piece in pieces)
    result = _assembled(ruleset, pieces, None, scope)
    return _pruned(result, scope) if edited else result


def _pruned(ruleset: Ruleset, scope: _Scope) -> Ruleset:
    """Without the scope's own rule when the rules asked after it say the same: unsharing undoes what sharing wrote."""
    own = [index for index, rule in enumerate(ruleset.rules) if rule.pattern == scope.pattern]
    if len(own) != 1:
        return ruleset
    rule = ruleset.rules[own[0]]
    shorter = replace(ruleset, rules=ruleset.rules[: own[0]] + ruleset.rules[own[0] + 1 :])
    before = [index for index, _ in ranked(ruleset.rules)].index(own[0])
    ahead = {index for index, _ in ranked(ruleset.rules)[:before]}
    try:
        pieces = _pieces(shorter, scope)
    except UserError:
        # A pattern that is hard to tell apart: the rule stays, which is always right.
        return ruleset
    after = [piece for piece in pieces if piece.index + (piece.index >= own[0]) not in ahead]
    following = after[0] if after else None
    if following is None:
        return shorter if not (rule.read or rule.write or rule.admin) else ruleset
    same = all(set(_entries(rule, level)) == set(_entries(following.rule, level)) for level in _LEVELS)
    return shorter if following.total and same else ruleset


def _strip(rule: Rule, user: str, still: dict[str, None]) -> Rule:
    """The rule without the entries that name `user`; those that merely match go into `still`."""
    read, write, admin = ([e for e in _entries(rule, level) if e != user] for level in _LEVELS)
    still.update((entry, None) for entry in (*read, *write, *admin) if user_matches(entry, user))
    return Rule(rule.pattern, tuple(read), tuple(write), tuple(admin))


def _with(rule: Rule, user: str, level: Level) -> Rule:
    read, write, admin = ((*_entries(rule, one), *([user] if one == level else [])) for one in _LEVELS)
    return Rule(rule.pattern, read, write, admin)


def _grants(rule: Rule, user: str, level: Level) -> bool:
    granting = _LEVELS[_LEVELS.index(level) :]
    return any(user_matches(entry, user) for one in granting for entry in _entries(rule, one))


def _entries(rule: Rule, level: Level) -> tuple[str, ...]:
    return {"read": rule.read, "write": rule.write, "admin": rule.admin}[level]


def _governing(access_files: Mapping[str, Ruleset], path: str, is_directory: bool) -> str | None:
    """The directory whose permission file governs the file, or what is in the folder."""
    directory = path if is_directory else path.rpartition("/")[0]
    found = None
    for end in [0, *(match.start() for match in re.finditer("/", directory)), len(directory)]:
        if directory[:end] in access_files:
            found = directory[:end]
            if access_files[found].terminal:
                break
    return found


def _shortened(segments: Sequence[str]) -> list[str]:
    return [s for place, s in enumerate(segments) if s != "**" or place == 0 or segments[place - 1] != "**"]


def _star(segments: Segments, place: int) -> bool:
    return segments.segments[place] == "**"


def _check(path: str, is_directory: bool, user: str) -> None:
    if path or not is_directory:
        RelPath.parse(path)
    if user != EVERYONE and ("@" not in user or user != user.strip() or not user.isprintable()):
        raise UserError(f"“{user}” is no address and no pattern of addresses", "Write a@example.org or *@example.org.")


def _checked(ruleset: Ruleset, scope: _Scope) -> Ruleset:
    """The rules, if they can be read back: an edit must not turn a good file into one over a limit."""
    try:
        parse(render(ruleset))
    except Malformed as error:
        raise UserError(f"{scope.file} would not be readable any more: {error}", "Make room in it first.") from error
    return ruleset


def _inexpressible(scope: _Scope, rule: Rule) -> UserError:
    return UserError(
        f"{scope.file} cannot say this for {scope.path or 'the top folder'} without changing what the rule "
        f"“{rule.pattern:.80}” grants to others",
        "Edit the file by hand, or share single files.",
    )
