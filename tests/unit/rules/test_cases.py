"""The network's own cases. That the compiled rules agree with the plain evaluator on any tree is in tests/properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from syftd.names import Email
from syftd.rules.access import Access
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
