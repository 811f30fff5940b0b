"""The rules evaluated straight from their description, slowly and with nothing shared with the code under test."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from wcmatch import glob

OWNER = "owner@x.com"
ALICE, BOB, CAROL = "alice@corp.com", "bob@other.org", "carol@corp.com"
USERS = [ALICE, BOB, CAROL]
TEMPLATE = "{{.UserEmail}}"

Files = Mapping[str, Mapping[str, Any] | None]
"""Permission files as the plain values that their YAML stands for, by directory; None is one that cannot be read."""


def levels(files: Files, user: str, path: str) -> tuple[bool, bool, bool]:
    """(read, write, admin) of `user` on `path`."""
    if user == OWNER:
        return True, True, True
    governing = None
    parts = path.split("/")
    for depth in range(len(parts)):
        directory = "/".join(parts[:depth])
        if directory in files:
            governing = directory
            file = files[directory]
            if file is None or file["terminal"]:
                break
    deciding = None if governing is None else files[governing]
    if governing is None or deciding is None:
        return False, False, False
    relative = path[len(governing) + 1 :] if governing else path
    for rule in sorted(deciding["rules"], key=lambda rule: specificity(rule["pattern"]), reverse=True):
        if matches(rule["pattern"].replace(TEMPLATE, user), relative):
            access = rule["access"]
            admin = named(access["admin"], user)
            write = admin or named(access["write"], user)
            read = write or named(access["read"], user)
            return (admin, admin, admin) if path.endswith("syft.pub.yaml") else (read, write, admin)
    return False, False, False


def matches(pattern: str, path: str) -> bool:
    if any(c in pattern for c in "*?["):
        return bool(glob.globmatch(path, pattern, flags=glob.GLOBSTAR))
    return path == pattern


def specificity(pattern: str) -> tuple[bool, int, int, int, int]:
    parts = pattern.split("/")
    wild = [part for part in parts if any(c in part for c in "*?[")]
    doubles = [part for part in wild if part == "**"]
    return TEMPLATE in pattern, len(parts) - len(wild), len(wild) - len(doubles), -len(doubles), len(parts)


def named(entries: list[str], user: str) -> bool:
    return any(
        entry in ("*", "USER", user) or (("*" in entry or "?" in entry) and fnmatch.fnmatchcase(user, entry))
        for entry in entries
    )


segments = st.sampled_from(
    ["a", "b", "ab", ".h", "*", "**", "a*", "*b", "?", "[ab]", "[!a]", "**b", ".*", "x[1]", "x[[]1]", "__any__", "*_*"]
)
patterns = st.one_of(
    st.just("**"),
    st.lists(segments, min_size=1, max_size=4).map("/".join),
    st.lists(st.one_of(segments, st.just(TEMPLATE)), min_size=1, max_size=3).map("/".join),
)
names = st.sampled_from(
    [
        "a", "b", "ab", "abb", "B", ".h", "x[1]", "x1", "c", ALICE, BOB, "a?", "*", "[", "**", TEMPLATE, "__any__",
        "syft.pub.yaml", "mysyft.pub.yaml",
    ]
)  # fmt: skip
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
entries = st.lists(
    st.sampled_from([*USERS, "*", "*@corp.com", "USER", "b?b@*", "[ab]*@*", "[b]ob@other.org", "Alice@corp.com", OWNER]),
    max_size=3,
)
exact_entries = st.lists(st.sampled_from(USERS), max_size=3, unique=True)


def rule(patterns: st.SearchStrategy[str], entries: st.SearchStrategy[list[str]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.fixed_dictionaries({"read": entries, "write": entries, "admin": entries})
    return st.fixed_dictionaries({"pattern": patterns, "access": lists})


def trees(
    patterns: st.SearchStrategy[str] = patterns, entries: st.SearchStrategy[list[str]] = entries
) -> st.SearchStrategy[dict[str, Any]]:
    """Random sets of permission files."""
    file = st.fixed_dictionaries(
        {"rules": st.lists(rule(patterns, entries), max_size=5), "terminal": st.integers(0, 4).map(lambda n: n == 0)}
    )
    places = st.one_of(st.just(""), st.sampled_from(["a", "a/b", "b", ".h", "x[1]"]))
    return st.dictionaries(places, file, max_size=3)
