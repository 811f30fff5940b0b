"""The network's own cases, and agreement with the plain evaluator on random trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from syftd.names import Email
from syftd.rules.access import Access
from syftd.rules.ruleset import Segments, matcher
from tests.unit.rules import plain

CASES = json.loads((Path(__file__).parents[2] / "fixtures" / "permissions_cases.json").read_text())


def access_of(files: plain.Files) -> Access:
    access = Access(Email(plain.OWNER))
    for directory, file in files.items():
        access.set(directory, yaml.safe_dump(file).encode())
    return access


def levels(access: Access, user: str, path: str) -> tuple[bool, bool, bool]:
    return access.may_read(user, path), access.may_write(user, path), access.may_admin(user, path)


def test_there_are_fifty_cases() -> None:
    assert len(CASES) == 50


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    access = access_of(case["files"])
    expected = (case["read"], case["write"], case["admin"])
    assert access.problems() == {}
    assert levels(access, case["user"], case["path"]) == expected
    assert plain.levels(case["files"], case["user"], case["path"]) == expected
    explained = access.explain(case["user"], case["path"])
    assert (explained.read, explained.write, explained.admin) == expected
    readers = access.readers(case["path"], [Email(case["user"])])
    assert readers == (frozenset([case["user"]]) if case["read"] else frozenset())


@settings(max_examples=300, deadline=None)
@given(plain.trees(), st.lists(plain.paths, min_size=1, max_size=4), st.booleans())
def test_compiled_rules_agree_with_the_plain_evaluator(tree: plain.Files, paths: list[str], rules_file: bool) -> None:
    access = access_of(tree)
    assert access.problems() == {}
    everyone = [Email(user) for user in [*plain.USERS, plain.OWNER]]
    for path in [*paths, *([paths[0] + "/syft.pub.yaml"] if rules_file else [])]:
        expected = {user: plain.levels(tree, user, path) for user in everyone}
        assert {user: levels(access, user, path) for user in everyone} == expected
        assert access.readers(path, everyone) == {user for user in everyone if expected[user][0]}
        if access.public(path):
            strangers = ["zed@nowhere.net", plain.ALICE, plain.BOB]
            assert all(plain.levels(tree, user, path)[0] for user in strangers)


@pytest.mark.parametrize(
    ("narrow", "wide", "path"),
    [
        ("{{.UserEmail}}/*", f"{plain.BOB}/x", f"{plain.BOB}/x"),
        ("a/*/c", "a/b/**", "a/b/c"),
        ("a/b/**", "a/*/*", "a/b/c"),
        ("*/*", "**/*/**", "a/b"),
        ("*/**", "**/*/**", "a/b"),
        ("**", "**/**", "a/b"),
        ("*/x*", "**/x*", "a/xy"),
    ],
)
def test_the_narrower_rule_is_asked_first_wherever_it_stands(narrow: str, wide: str, path: str) -> None:
    rules = [
        {"pattern": narrow, "access": {"read": [], "write": [plain.BOB], "admin": []}},
        {"pattern": wide, "access": {"read": [plain.BOB], "write": [], "admin": []}},
    ]
    for order in (rules, rules[::-1]):
        access = access_of({"": {"rules": order, "terminal": False}})
        assert access.explain(plain.BOB, path).pattern == narrow


starry = st.lists(
    st.sampled_from(["a", "b", "**", "**", "*", ".h", "a*", "[ab]", "[!a]", "***"]), min_size=1, max_size=6
)


@settings(max_examples=500, deadline=None)
@given(starry, st.lists(st.sampled_from(["a", "b", "ab", ".h"]), min_size=1, max_size=6))
def test_a_matcher_says_what_globmatch_says(pattern: list[str], path: list[str]) -> None:
    expected = plain.matches("/".join(pattern), "/".join(path))
    assert bool(matcher("/".join(pattern))("/".join(path))) == expected
    assert Segments("/".join(pattern)).match("/".join(path)) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "a", "a/b"]), st.none() | plain.trees()), max_size=5), plain.paths)
def test_changes_one_by_one_end_where_a_fresh_start_does(steps: list[Any], path: str) -> None:
    access = Access(Email(plain.OWNER))
    files: dict[str, Any] = {}
    for directory, tree in steps:
        access.may_read(plain.BOB, path)
        file = next(iter((tree or {}).values()), None)
        if file is None:
            access.drop(directory)
            files.pop(directory, None)
        else:
            access.set(directory, yaml.safe_dump(file).encode())
            files[directory] = file
        assert levels(access, plain.BOB, path) == plain.levels(files, plain.BOB, path)
    assert access.directories() == sorted(files)
