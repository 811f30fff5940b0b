"""Share and unshare on any tree of permission files: what is asked happens, and nothing else does, for anybody."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import assume, given

from syftd.errors import UserError
from syftd.rules.edit import grant, revoke
from syftd.rules.ruleset import parse, render
from tests.properties.effort import examples
from tests.unit.rules import plain
from tests.unit.rules.plain import ALICE, BOB, CAROL
from tests.unit.rules.test_edit import Level, plainly, rulesets, written

RANK = ("read", "write", "admin")

scopes = st.tuples(plain.paths, st.booleans())
levels: st.SearchStrategy[Level] = st.sampled_from(["read", "write", "admin"])
users = st.sampled_from([ALICE, BOB, CAROL, "*", "*@corp.com"])
plain_patterns = st.sampled_from(["**", "*", "a/**", "a/b/**", "*.csv", "a/*", "a", "a/b", "b/**", "a/b/*", "x/y"])


def inside(path: str, scope: str, is_directory: bool) -> bool:
    return path.startswith(scope + "/") if is_directory and scope else is_directory or path == scope


@examples(250)
@given(plain.trees(), scopes, users, levels, st.lists(plain.paths, max_size=8))
def test_a_grant_gives_what_was_asked_and_nothing_to_anybody_else(
    tree: dict[str, Any], scope: tuple[str, bool], user: str, level: Level, paths: list[str]
) -> None:
    path, is_directory = scope
    files = rulesets(tree)
    try:
        directory, edited = grant(files, path, is_directory, user, level)
    except UserError as error:
        assert error.remedy
        assume(False)
    assert parse(render(edited)) == edited
    before, after = plainly(files), plainly({**files, directory: edited})
    probe = f"{path}/__any__" if is_directory else path
    rank = RANK.index(level)
    for other in plain.USERS:
        granted = plain.named([user], other)
        if other == user:
            assert plain.levels(after, other, probe)[rank]
        for one in [probe, *paths, *[f"{path}/{p}" for p in paths]]:
            was, now = plain.levels(before, other, one), plain.levels(after, other, one)
            if granted and inside(one, path, is_directory):
                assert all(new or not old for old, new in zip(was, now, strict=True)), (one, other)
                assert now[rank + 1 :] == was[rank + 1 :], "more than the level that was asked"
            else:
                assert was == now, (one, other)


@examples(250)
@given(plain.trees(), scopes, st.sampled_from(plain.USERS), st.lists(plain.paths, max_size=8))
def test_a_revocation_leaves_no_access_but_what_it_reports(
    tree: dict[str, Any], scope: tuple[str, bool], user: str, paths: list[str]
) -> None:
    path, is_directory = scope
    files = rulesets(tree)
    try:
        result = revoke(files, path, is_directory, user)
    except UserError as error:
        assert error.remedy
        assume(False)
    edited = written(files, result)
    before, after = plainly(files), plainly(edited)
    named = plainly(edited, keep=lambda entry: entry in plain.USERS)
    templates = any(rule.is_template for ruleset in files.values() for rule in ruleset.rules)
    probe = f"{path}/__any__" if is_directory else path
    for one in [probe, *paths, *[f"{path}/{p}" for p in paths]]:
        was, now = plain.levels(before, user, one), plain.levels(after, user, one)
        assert all(old or not new for old, new in zip(was, now, strict=True)), "a revocation widens nothing"
        if inside(one, path, is_directory):
            assert now == (False, False, False) or result.still, one
            assert plain.levels(named, user, one) == (False, False, False), one
        elif not templates:
            assert now == was, one
        for other in plain.USERS:
            if other != user:
                assert plain.levels(before, other, one) == plain.levels(after, other, one), (one, other)


@examples(200)
@given(plain.trees(plain_patterns, plain.exact_entries), scopes, st.sampled_from(plain.USERS), levels)
def test_ordinary_rules_can_always_be_edited(
    tree: dict[str, Any], scope: tuple[str, bool], user: str, level: Level
) -> None:
    path, is_directory = scope
    assume(is_directory or level == "admin" or not path.endswith("syft.pub.yaml"))
    files = rulesets(tree)
    directory, edited = grant(files, path, is_directory, user, level)
    shared = {**files, directory: edited}
    probe = f"{path}/__any__" if is_directory else path
    assert plain.levels(plainly(shared), user, probe)[0]
    result = revoke(shared, path, is_directory, user)
    assert result.still == ()
    assert plain.levels(plainly(written(shared, result)), user, probe) == (False, False, False)


Edit = tuple[bool, tuple[str, bool], str, Level]
edits = st.lists(st.tuples(st.booleans(), scopes, st.sampled_from(plain.USERS), levels), min_size=2, max_size=5)
small_paths = st.lists(st.sampled_from(["a", "b", "ab", "x[1]", "c.csv"]), min_size=1, max_size=3).map("/".join)


@examples(150)
@given(plain.trees(plain_patterns, plain.exact_entries), edits, st.lists(small_paths, min_size=4, max_size=8))
def test_a_history_of_edits_gives_nobody_more_than_the_edits_asked(
    tree: dict[str, Any], edits: list[Edit], paths: list[str]
) -> None:
    """Each edit works on what the ones before have carved. `most` is what anybody may have come to by being asked for."""
    files = rulesets(tree)
    before = plainly(files)
    most = {(user, path): plain.levels(before, user, path) for user in plain.USERS for path in paths}
    for sharing, (path, is_directory), user, level in edits:
        try:
            if sharing:
                directory, edited = grant(files, path, is_directory, user, level)
                files = {**files, directory: edited}
            else:
                result = revoke(files, path, is_directory, user)
                assert result.still == ()
                files = written(files, result)
        except UserError as error:
            assert error.remedy
            continue
        granted = tuple(sharing and rank <= RANK.index(level) for rank in range(3))
        now = plainly(files)
        for (other, one), had in most.items():
            if other == user and inside(one, path, is_directory):
                had = tuple(old or new for old, new in zip(had, granted, strict=True)) if sharing else (False,) * 3
            has = plain.levels(now, other, one)
            assert all(may or not does for may, does in zip(had, has, strict=True)), (other, one)
            if other != user or not inside(one, path, is_directory):
                assert has == plain.levels(before, other, one), (other, one)
            most[other, one] = had
        before = now
