"""The compiled permission rules: whatever the files say, they answer as the plain evaluator does."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import yaml
from hypothesis import given

from syftd.errors import Malformed
from syftd.names import Email
from syftd.rules.access import Access
from syftd.rules.ruleset import Rule, Ruleset, Segments, matcher, parse, render
from tests.properties.effort import examples
from tests.unit.rules import plain

PEOPLE = [Email(user) for user in (*plain.USERS, plain.OWNER)]
STRANGERS = ["zed@nowhere.net", plain.ALICE, plain.BOB]
BROKEN = st.sampled_from([b"rules: 7", b"\xff", b"rules: [{pattern: a}]", b"terminal: 1", b"[", b"{{.UserHash}}: {"])

directories = st.sampled_from(["", "a", "a/b", "b", ".h", "x[1]"])
files = st.one_of(
    st.just("dropped"), st.just("broken"), plain.trees().map(lambda tree: next(iter(tree.values()), "dropped"))
)


def agrees(access: Access, tree: plain.Files, path: str) -> None:
    """All ways of asking about one path give the plain evaluator's answer, for everybody."""
    expected = {user: plain.levels(tree, user, path) for user in PEOPLE}
    for user, levels in expected.items():
        assert (access.may_read(user, path), access.may_write(user, path), access.may_admin(user, path)) == levels
        told = access.explain(user, path)
        assert (told.read, told.write, told.admin) == levels
    assert access.readers(path, PEOPLE) == {user for user in PEOPLE if expected[user][0]}
    if access.public(path):
        assert all(plain.levels(tree, user, path)[0] for user in STRANGERS), "public is literally everybody"


@examples(300)
@given(plain.trees(), st.lists(plain.paths, min_size=1, max_size=4))
def test_compiled_rules_agree_with_the_plain_evaluator(tree: dict[str, Any], paths: list[str]) -> None:
    access = Access(Email(plain.OWNER))
    for directory, file in tree.items():
        access.set(directory, yaml.safe_dump(file).encode())
    assert access.problems() == {}
    for path in [*paths, paths[0] + "/syft.pub.yaml"]:
        agrees(access, tree, path)


@examples(250)
@given(st.lists(st.tuples(directories, files, BROKEN), max_size=6), st.lists(plain.paths, min_size=1, max_size=3))
def test_files_that_come_go_and_break_leave_nothing_behind(steps: list[tuple[str, Any, bytes]], paths: list[str]) -> None:
    """Answers are remembered; after each change they are those of a fresh start, the ones asked before included."""
    access = Access(Email(plain.OWNER))
    tree: dict[str, Any] = {}
    for directory, file, broken in steps:
        if file == "dropped":
            access.drop(directory)
            tree.pop(directory, None)
        elif file == "broken":
            access.set(directory, broken)
            tree[directory] = None
        else:
            access.set(directory, yaml.safe_dump(file).encode())
            tree[directory] = file
        assert access.directories() == sorted(tree)
        assert set(access.problems()) == {directory for directory, file in tree.items() if file is None}
        for path in paths:
            agrees(access, tree, path)


starry = st.lists(
    st.sampled_from(["a", "b", "**", "**", "*", ".h", "a*", "[ab]", "[!a]", "***", "B"]), min_size=1, max_size=6
)


@examples(500)
@given(starry, st.lists(st.sampled_from(["a", "b", "ab", ".h", "B"]), min_size=1, max_size=6))
def test_a_matcher_says_what_globmatch_says(pattern: list[str], path: list[str]) -> None:
    expected = plain.matches("/".join(pattern), "/".join(path))
    assert bool(matcher("/".join(pattern))("/".join(path))) == expected
    assert Segments("/".join(pattern)).match("/".join(path)) == expected


@examples(200)
@given(st.text("ab*?[]!\\/.-^", min_size=1, max_size=8), st.text("ab*[]\\/.-", min_size=1, max_size=6))
def test_an_odd_pattern_is_refused_or_matches_what_globmatch_matches(pattern: str, path: str) -> None:
    try:
        ruleset = parse(render(Ruleset((Rule(pattern, read=("*",)),))))
        matches = matcher(ruleset.rules[0].pattern)
    except Malformed as error:
        assert error.remedy
        return
    assert bool(matches(path)) == plain.matches(pattern, path)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: "{{." not in text)
rulesets = st.builds(
    Ruleset,
    st.lists(st.builds(Rule, texts, *[st.lists(texts, max_size=3).map(tuple)] * 3), max_size=4).map(tuple),
    st.booleans(),
)


@examples(150)
@given(rulesets)
def test_what_is_written_is_read_back(ruleset: Ruleset) -> None:
    assert parse(render(ruleset)) == parse(render(ruleset).encode()) == ruleset


@examples(300)
@given(st.binary(max_size=200) | st.text("[]{}&*:-!?|>'\" \n<abz", max_size=60).map(str.encode))
def test_any_bytes_are_a_file_or_malformed(text: bytes) -> None:
    try:
        assert isinstance(parse(text), Ruleset)
    except Malformed as error:
        assert str(error)


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["**", "USER", "*"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["rules", "pattern", "access", "read", "terminal", "x"]), inner, max_size=4),
    max_leaves=8,
)


@examples(150)
@given(plain.trees(), st.data())
def test_a_wrong_type_in_any_place_breaks_the_file_and_nothing_else(tree: dict[str, Any], data: st.DataObject) -> None:
    """A file with something strange in one place is read as it stands or refused, and grants nothing then."""
    directory = next(iter(tree), "")
    file = tree.get(directory) or {"rules": [], "terminal": False}
    place = data.draw(st.sampled_from(places(file)))
    bent = replaced(file, place, data.draw(yaml_values))
    access = Access(Email(plain.OWNER))
    access.set(directory, yaml.safe_dump(bent).encode())
    if access.problems():
        path = f"{directory}/a" if directory else "a"
        assert not any(access.may_read(user, path) for user in plain.USERS)
    else:
        assert isinstance(parse(yaml.safe_dump(bent)), Ruleset)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value inside of a plain value, itself included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] + [place for key, item in inside for place in places(item, (*at, key))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy of a plain value with another one in one place."""
    if not place:
        return new
    key, *rest = place
    if isinstance(value, dict):
        return {name: replaced(item, tuple(rest), new) if name == key else item for name, item in value.items()}
    return [replaced(item, tuple(rest), new) if number == key else item for number, item in enumerate(value)]
