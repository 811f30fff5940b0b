"""Parsing hostile permission files, writing good ones."""

from __future__ import annotations

from time import process_time

import pytest

from syftd.errors import Malformed
from syftd.rules.ruleset import MAX_FILE_BYTES, MAX_RULES, Rule, Ruleset, matcher, parse, render

ACCESS = "access: {read: [a@b.c]}"


def test_an_empty_file_has_no_rules() -> None:
    assert parse(b"") == parse("# nothing\n") == parse(b"\xef\xbb\xbf") == Ruleset()


def test_missing_lists_are_empty_and_unknown_keys_are_ignored() -> None:
    text = "version: 3\nrules:\n- pattern: 'a'\n  note: x\n  access: {write: [b@c.d]}\nterminal: true\n"
    assert parse(text) == Ruleset((Rule("a", write=("b@c.d",)),), terminal=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"rules: [", "line 2"),
        (b"\xff\xfe\x00", "UTF-8"),
        ("\ud800", "UTF-8"),
        (b"a\x00b", "not YAML"),
        (b"- a", "not a list"),
        (b"hello", "not a text"),
        (b"rules: 3", "“rules” must be a list"),
        (b"rules:", "not nothing"),
        (b"terminal: 'yes'", "“terminal” must be true or false"),
        (b"rules: [a]", "rule 1 must have"),
        (b"rules: [{pattern: a}]", "has no “access”"),
        (b"rules: [{access: {}}]", "“pattern” must be a text, not nothing"),
        (b"rules: [{pattern: 3, access: {}}]", "“pattern” must be a text"),
        (b"rules: [{pattern: a, access: []}]", "“access” must hold"),
        (b"rules: [{pattern: a, access: {read: x@y.z}}]", "“read” must be a list"),
        (b"rules: [{pattern: a, access: {admin: [x, [y]]}}]", "an entry of “admin”"),
        (b"rules: [{pattern: a, access: {write: [null]}}]", "an entry of “write”"),
        (b"rules: [{pattern: '{{.UserHash}}/**', access: {}}]", "{{.UserHash}} is not supported"),
        (b"rules: [{pattern: '{{.Year}}', access: {}}]", "{{.Year}} is not supported"),
        (b"rules: [{pattern: '{{.Month}}/{{.UserEmail}}', access: {}}]", "{{.Month}} is not supported"),
        (b"rules: [{pattern: 'x{{.Date}}', access: {}}]", "{{.Date}} is not supported"),
        (b"rules: !!python/object/apply:os.system [id]", "constructor"),
        (b"rules: [{pattern: 2024-99-99, access: {}}]", "cannot be read"),
        (b"? {a: b}\n: c", "unhashable"),
        (b"a: &a {x: y}\nrules: [{<<: *a}]", "merge keys"),
        (b"a: &a {x: y}\nrules: [{!!merge x: *a}]", "merge keys"),
        (b"[" * 100_000, "nest"),  # The YAML library may notice it first, in its own words.
        (b"- " * 100_000, "nest"),
        (b"terminal: " + b"9" * 100_000, "longer than"),
        (b"x: " + b"9:" * 4_000 + b"9", "longer than"),
        (b"x: " + b"y" * MAX_FILE_BYTES, "bytes; at most"),
        (b"a: 1\n---\nb: 2", "document"),
        (b"rules: [{pattern: '" + b"**/a/" * 20 + b"', access: {}}]", "more than 16 “**”"),
        (b"rules: [{pattern: '**/a/**//b', access: {}}]", "empty parts"),
        (b"rules:\n" + b"- {pattern: a, access: {}}\n" * (MAX_RULES + 1), "5001 rules"),
        (b"rules: [{pattern: a, access: {read: [" + b"'*a'," * 1_001 + b"]}}]", "address patterns"),
    ],
)
def test_broken_files_are_refused_with_the_reason(text: bytes | str, reason: str) -> None:
    started = process_time()
    with pytest.raises(Malformed) as refused:
        parse(text)
    assert reason in str(refused.value)
    assert refused.value.remedy
    assert process_time() - started < 5


def test_aliases_are_read_but_cannot_multiply_without_end() -> None:
    shared = "x: &u [a@b.c, d@e.f]\nrules: [{pattern: a, access: {read: *u, write: *u}}]"
    assert parse(shared).rules == (Rule("a", ("a@b.c", "d@e.f"), ("a@b.c", "d@e.f")),)
    bomb = "x: &u [" + "a," * 20_000 + "]\nrules:\n" + "- {pattern: a, access: {read: *u}}\n" * 4_000
    with pytest.raises(Malformed, match="entries together"):
        parse(bomb)
    laughs = "a: &a [x, x]\n" + "".join(
        f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(Malformed, match="must be a text"):
        parse(laughs + "rules: [{pattern: a, access: {read: *i}}]")


def test_keys_are_written_in_the_networks_order() -> None:
    text = render(Ruleset((Rule("d/**", read=("*",), write=("a@b.c",)),)))
    assert [line.strip(" -") for line in text.splitlines()] == [
        "rules:", "pattern: d/**", "access:", "admin: []", "read:", "'*'", "write:", "a@b.c", "terminal: false",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**/a/" * 16 + "b", "a/" * 2_000 + "a"),
        ("**/*a*/" * 8 + "b", "a/" * 2_000 + "a"),
        ("*a" * 40 + "b", "a" * 255),
        ("**/" + "*a" * 20 + "b", "/".join(["a" * 255] * 16)),
        ("[!b]*" * 20 + "c/**", "a" * 255),
    ],
)
def test_no_pattern_makes_a_match_slow(pattern: str, path: str) -> None:
    matches = matcher(pattern)
    started = process_time()
    assert not matches(path)
    assert process_time() - started < 2
