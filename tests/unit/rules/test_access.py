"""Broken files, explanations, what is public, generations, speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from time import process_time

import pytest

from syftd.names import Email
from syftd.rules.access import Access
from tests.unit.rules.plain import ALICE, BOB, CAROL, OWNER


def made(**files: str) -> Access:
    """Access with permission files by directory ('top' for '')."""
    access = Access(Email(OWNER))
    for directory, text in files.items():
        access.set("" if directory == "top" else directory, text.encode())
    return access


def one(pattern: str, level: str, *entries: str) -> str:
    return f"rules: [{{pattern: '{pattern}', access: {{{level}: [{', '.join(repr(entry) for entry in entries)}]}}}}]"


def test_a_broken_file_closes_everything_below_it_and_nothing_else() -> None:
    access = made(top=one("**", "read", "*"), d="rules: 7")
    access.set("d/e", one("**", "read", "*").encode())
    assert access.problems() == {"d": "“rules” must be a list, not of type int"}
    assert access.may_read(BOB, "a")
    assert not access.may_read(BOB, "d/a")
    assert not access.may_read(BOB, "d/e/a"), "the broken file may have been terminal"
    assert access.may_admin(OWNER, "d/e/a")
    assert access.governed_by("d/e/a") == "d/syft.pub.yaml"
    assert "cannot be used" in access.explain(BOB, "d/a").text
    access.broken("", "it cannot be opened")
    assert not access.may_read(BOB, "a")
    access.drop("d")
    assert not access.may_read(BOB, "d/e/a")
    access.set("", one("**", "read", "*").encode())
    assert access.may_read(BOB, "d/a")
    assert access.may_read(BOB, "d/e/a")
    assert access.problems() == {}


def test_a_pattern_that_cannot_be_compiled_breaks_the_file_and_not_the_caller() -> None:
    access = made(top=one("**", "read", "*"))
    access.set("", one("{{.UserEmail}}/**/a/**//x*", "read", "USER").encode())
    assert "empty parts" in access.problems()[""]
    assert not access.may_read(BOB, "a")


def test_generation_grows_with_what_changes_and_only_then() -> None:
    access = Access(Email(OWNER))
    seen = [access.generation]
    text = one("**", "read", "*").encode()
    changes: list[Callable[[], None]] = [
        lambda: access.set("d", text),
        lambda: access.set("", text),
        lambda: access.broken("d", "no"),
        lambda: access.set("d", text),
        lambda: access.drop("d"),
    ]
    for change in changes:
        change()
        seen.append(access.generation)
    assert seen == sorted(set(seen))
    access.set("", text + b"\n# a remark\n")
    access.drop("d")
    assert access.generation == seen[-1]
    assert access.directories() == [""]


def test_explanations_say_which_rule_of_which_file() -> None:
    access = made(
        top=one("**", "read", ALICE), d="rules: [{pattern: x, access: {}}, {pattern: '*', access: {write: [b*]}}]"
    )
    told = access.explain(BOB, "d/a")
    assert (told.read, told.write, told.admin) == (True, True, False)
    assert (told.governing, told.rule, told.pattern) == ("d/syft.pub.yaml", 2, "*")
    assert told.text == f"{BOB} may read, write d/a: rule 2 (“*”) in d/syft.pub.yaml decides."
    assert "does not name them" in access.explain(BOB, "d/x").text
    assert "no rule in d/syft.pub.yaml" in access.explain(ALICE, "d/e/f").text
    assert "needs admin" in access.explain(BOB, "d/syft.pub.yaml").text
    assert "owner" in access.explain(OWNER, "a").text
    assert access.explain(OWNER, "a").governing == "syft.pub.yaml"
    nothing = Access(Email(OWNER)).explain(BOB, "a")
    assert (nothing.governing, nothing.rule, nothing.read) == (None, None, False)
    assert "no syft.pub.yaml governs it" in nothing.text


@pytest.mark.parametrize(
    ("entries", "public"), [(["*"], True), (["USER"], True), (["*@*"], False), ([ALICE], False), ([OWNER], False)]
)
def test_public_means_literally_everybody(entries: list[str], public: bool) -> None:
    access = made(top=one("**", "read", *entries))
    assert access.public("a") is public
    assert not access.public(".a")
    assert not access.public("syft.pub.yaml")
    assert not Access(Email(OWNER)).public("a")


def test_a_template_rule_that_may_take_a_path_from_somebody_makes_it_not_public() -> None:
    text = "rules: [{{pattern: '{0}', access: {{{1}}}}}, {{pattern: '**', access: {{read: ['*']}}}}]"
    hidden = made(top=text.format("{{.UserEmail}}/**", ""))
    assert not hidden.public("ada@x.org/f")
    assert hidden.public("public/f")
    assert made(top=text.format("{{.UserEmail}}/**", "read: [USER]")).public("ada@x.org/f")
    assert not made(top=text.format("[{{.UserEmail}}]/**", "")).public("public/f")


def test_nobody_gains_by_an_address_with_glob_characters() -> None:
    access = made(top=one("{{.UserEmail}}/**", "write", "USER"))
    for hostile in ("*@corp.com", "?????@corp.com", "*"):
        assert not access.may_write(hostile, f"{ALICE}/x")
        assert access.may_write(hostile, f"{hostile}/x")


def test_readers_are_those_asked_for() -> None:
    access = made(top=one("**", "read", "*@corp.com"))
    everyone = [Email(user) for user in (ALICE, BOB, CAROL, OWNER)]
    assert access.readers("a", everyone) == {ALICE, CAROL, OWNER}
    assert access.readers("a", everyone[1:2]) == frozenset()
    assert access.readers("syft.pub.yaml", everyone) == {OWNER}


def test_readers_is_fast() -> None:
    """A hundred thousand answers a second on a quiet machine; the ceiling allows for a busy one."""
    access = made(top=one("**", "read", "*@corp.com", BOB))
    peers = [Email(user) for user in (ALICE, BOB, CAROL)]
    started = process_time()
    for _ in range(20_000):
        access.readers("d/e/f.csv", peers)
    assert process_time() - started < 1


def test_a_very_deep_path_is_no_trouble() -> None:
    access = made(top=one("**/b", "read", "*"))
    assert access.may_read(BOB, "a/" * 2_000 + "b")


def test_ordinary_rules_do_not_load_wcmatch() -> None:
    program = (
        "import sys; from syftd.names import Email; from syftd.rules.access import Access; a = Access(Email('o@x.y'));"
        f"a.set('', {one('**', 'read', '*').encode()!r}); a.set('d', {one('e/**', 'read', '*').encode()!r});"
        "assert a.may_read('b@c.d', 'x') and a.may_read('b@c.d', 'd/e/f') and not a.may_read('b@c.d', 'd/f');"
        "assert 'wcmatch' not in sys.modules; assert 'bracex' not in sys.modules;"
        f"a.set('', {one('*.c', 'read', '*').encode()!r}); assert 'wcmatch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
