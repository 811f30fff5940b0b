"""Share and unshare: what is asked happens, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest

from syftd.errors import Malformed, UserError
from syftd.names import Email
from syftd.rules.access import Access
from syftd.rules.edit import Revocation, grant, revoke, separate_below
from syftd.rules.ruleset import Rule, Ruleset, render
from tests.unit.rules import plain
from tests.unit.rules.plain import ALICE, BOB, CAROL

Level = Literal["read", "write", "admin"]


def rules(*rules: Rule, terminal: bool = False) -> Ruleset:
    return Ruleset(rules, terminal)


def rulesets(tree: plain.Files) -> dict[str, Ruleset]:
    return {
        directory: Ruleset(
            tuple(
                Rule(rule["pattern"], *[tuple(rule["access"][level]) for level in ("read", "write", "admin")])
                for rule in file["rules"]
            ),
            file["terminal"],
        )
        for directory, file in tree.items()
    }


def plainly(files: Mapping[str, Ruleset], keep: Any = lambda entry: True) -> dict[str, Any]:
    """The files as the plain evaluator wants them, with only the entries that `keep` likes."""
    return {
        directory: {
            "rules": [
                {
                    "pattern": rule.pattern,
                    "access": {
                        level: [entry for entry in getattr(rule, level) if keep(entry)]
                        for level in ("read", "write", "admin")
                    },
                }
                for rule in ruleset.rules
            ],
            "terminal": ruleset.terminal,
        }
        for directory, ruleset in files.items()
    }


def written(files: dict[str, Ruleset], revocation: Revocation) -> dict[str, Ruleset]:
    return {**files, **dict(revocation.changed)}


def test_the_first_share_makes_a_file_beside_the_shared_one() -> None:
    assert grant({}, "d/a.txt", False, BOB, "read") == ("d", rules(Rule("a.txt", read=(BOB,))))
    assert grant({}, "d", True, BOB, "write") == ("d", rules(Rule("**", write=(BOB,))))
    assert grant({}, "", True, "*", "read") == ("", rules(Rule("**", read=("*",))))


def test_sharing_one_file_takes_it_from_nobody() -> None:
    files = {"": rules(Rule("**", read=(ALICE,)))}
    narrow = Rule("a.txt", read=(ALICE, BOB))
    assert grant(files, "a.txt", False, BOB, "read") == ("", rules(narrow, Rule("**", read=(ALICE,))))


def test_sharing_again_adds_to_the_rule_that_is_there() -> None:
    files = {"": rules(Rule("**"), Rule("d/**", read=(ALICE,)))}
    assert grant(files, "d", True, BOB, "write") == ("", rules(Rule("**"), Rule("d/**", (ALICE,), (BOB,))))


def test_what_one_has_already_changes_nothing() -> None:
    files = {"": rules(Rule("**", read=("*",), write=("*@other.org",)))}
    assert grant(files, "d", True, ALICE, "read") == ("", files[""])
    assert grant(files, "d/x", False, BOB, "write") == ("", files[""])


def test_a_wider_rule_that_singles_files_out_goes_on_doing_so_in_a_shared_folder() -> None:
    files = {"": rules(Rule("**", read=(ALICE,)), Rule("**/secret.txt"), Rule("**/*.csv", read=(CAROL,)))}
    directory, edited = grant(files, "d/e", True, BOB, "read")
    after = plainly({directory: edited})
    assert plain.levels(after, BOB, "d/e/f/x") == plain.levels(after, ALICE, "d/e/f/x") == (True, False, False)
    assert plain.levels(after, ALICE, "d/e/f/secret.txt") == plain.levels(after, BOB, "d/e/secret.txt")
    assert plain.levels(after, BOB, "d/e/secret.txt") == (False, False, False)
    assert plain.levels(after, CAROL, "d/e/f/t.csv") == (True, False, False)
    assert plain.levels(after, ALICE, "d/e/t.csv") == (False, False, False)


def test_a_shared_folder_is_shared_all_the_way_down() -> None:
    files = {"": rules(Rule("**", read=(ALICE,)), Rule("d/*", read=(CAROL,)))}
    directory, edited = grant(files, "d", True, BOB, "read")
    after = plainly({directory: edited})
    for path, others in (("d/x", CAROL), ("d/e/f", ALICE)):
        assert plain.levels(after, BOB, path)[0]
        assert [user for user in (ALICE, CAROL) if plain.levels(after, user, path)[0]] == [others]
    assert plain.levels(after, BOB, "x") == (False, False, False)


@pytest.mark.parametrize(
    "name",
    [".env", ".h[1]", "x[1].txt", "[", "*", "**", "?", "a*b", "[!a]", "[[:alpha:]]", "{{.UserEmail}}", "{{.Year}}"],
)
@pytest.mark.parametrize("folder", ["", "d", ".git", "x[1]", "**"])
def test_real_names_are_matched_and_nothing_else_is(folder: str, name: str) -> None:
    path = f"{folder}/{name}" if folder else name
    files = {"": rules(Rule("*.none", read=(ALICE,)))}
    lookalikes = ["a", "x1.txt", "ab", "axb", ".h1", f"{BOB}", "d/a", "z/a/b", f"d/{BOB}/x"]
    for is_directory, probe in ((False, path), (True, path + "/f")):
        directory, edited = grant(files, path, is_directory, BOB, "read")
        access = Access(Email(plain.OWNER))
        access.set(directory, render(edited).encode())
        assert access.problems() == {}
        assert access.may_read(BOB, probe)
        assert not any(access.may_read(BOB, other) for other in lookalikes if other != path)
        assert not access.may_read(ALICE, probe)
        assert revoke({"": edited}, path, is_directory, BOB).changed == (("", files[""]),)


def test_a_template_rule_that_decides_first_is_an_error() -> None:
    files = {"": rules(Rule("{{.UserEmail}}/**", read=("USER",)))}
    with pytest.raises(UserError, match="UserEmail") as refused:
        grant(files, f"{BOB}/x", False, BOB, "write")
    assert refused.value.remedy
    assert grant(files, f"{BOB}/x", False, BOB, "read") == ("", files[""])
    _, edited = grant(files, f"{BOB}/x", False, ALICE, "read")
    assert plain.levels(plainly({"": edited}), ALICE, f"{BOB}/x") == (True, False, False)


@pytest.mark.parametrize("user", ["", "bob", "USER", " b@c.d", "b@c.d\n", "?"])
def test_users_that_are_no_addresses_are_refused(user: str) -> None:
    for edit in (lambda: grant({}, "a", False, user, "read"), lambda: revoke({}, "a", False, user)):
        with pytest.raises(UserError, match="no address"):
            edit()


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "a\\b", "", "a/./b"])
def test_paths_that_are_not_canonical_are_refused(path: str) -> None:
    with pytest.raises(Malformed):
        grant({}, path, False, BOB, "read")


def test_a_permission_file_is_shared_with_admins_only() -> None:
    with pytest.raises(UserError, match="admin"):
        grant({}, "d/syft.pub.yaml", False, BOB, "write")
    directory, edited = grant({}, "d/syft.pub.yaml", False, BOB, "admin")
    assert plain.levels(plainly({directory: edited}), BOB, "d/syft.pub.yaml") == (True, True, True)


def test_an_edit_that_would_make_the_file_unreadable_is_an_error() -> None:
    full = rules(*[Rule(f"f{number}") for number in range(5_000)])
    with pytest.raises(UserError, match="not be readable"):
        grant({"": full}, "new", False, BOB, "read")


def test_unsharing_undoes_sharing() -> None:
    files = {"": rules(Rule("**", read=(ALICE,)))}
    for path, is_directory in (("d/a.txt", False), ("d", True)):
        _, edited = grant(files, path, is_directory, BOB, "write")
        assert revoke({"": edited}, path, is_directory, BOB) == Revocation((("", files[""]),), ())


def test_unsharing_one_file_leaves_the_rest_of_a_wider_share() -> None:
    files = {"": rules(Rule("**", read=(ALICE, BOB)))}
    result = revoke(files, "d/a.txt", False, BOB)
    assert result.changed == (("", rules(Rule("d/a.txt", read=(ALICE,)), Rule("**", read=(ALICE, BOB)))),)


def test_unsharing_says_through_what_there_is_still_access() -> None:
    files = {"": rules(Rule("**", read=("*", ALICE), write=("*@corp.com",)))}
    result = revoke(files, "a", False, ALICE)
    assert set(result.still) == {"*", "*@corp.com"}
    assert revoke(files, "a", False, BOB) == Revocation((), ("*",))
    assert revoke(files, "a", False, "*").still == ()
    assert revoke({}, "a", False, BOB) == Revocation((), ())


def test_unsharing_a_folder_reaches_the_permission_files_below() -> None:
    files = {
        "": rules(Rule("**", read=(BOB,))),
        "d/e": rules(Rule("x", read=(BOB, ALICE)), terminal=True),
        "d/e/f": rules(Rule("**", read=(BOB,))),
        "dd": rules(Rule("**", read=(BOB,))),
    }
    assert separate_below(files, "d") == ["d/e"]
    after = plainly(written(files, revoke(files, "d", True, BOB)))
    for path in ("d/a", "d/e/x", "d/e/f/a"):
        assert plain.levels(after, BOB, path) == (False, False, False)
    assert plain.levels(after, BOB, "dd/a") == plain.levels(after, ALICE, "d/e/x") == (True, False, False)
