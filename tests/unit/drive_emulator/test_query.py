from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.query import (
    Both,
    Compare,
    Either,
    Has,
    Member,
    Node,
    Not,
    matches,
    name_contains,
    required_parent,
)
from tests.drive_emulator.query_text import parse, render

TEXT = st.text(max_size=12)
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
LEAVES = st.one_of(
    st.builds(Compare, st.sampled_from(["name", "mimeType"]), st.sampled_from(["=", "!=", "contains"]), TEXT),
    st.builds(Compare, st.just("fullText"), st.just("contains"), TEXT),
    st.builds(Compare, st.sampled_from(["trashed", "starred", "sharedWithMe"]), st.sampled_from(["=", "!="]), st.booleans()),
    st.builds(
        Compare,
        st.sampled_from(["modifiedTime", "createdTime", "viewedByMeTime"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        TIMES,
    ),
    st.builds(Member, TEXT, st.sampled_from(["parents", "owners", "writers", "readers"])),
    st.builds(Has, st.sampled_from(["properties", "appProperties"]), TEXT, TEXT),
)
NODES: st.SearchStrategy[Node] = st.recursive(
    LEAVES, lambda inner: st.one_of(st.builds(Not, inner), st.builds(Both, inner, inner), st.builds(Either, inner, inner))
)


@dataclass
class File:
    """A file that a query can be asked about."""

    name: str = ""
    mime_type: str = "text/plain"
    trashed: bool = False
    starred: bool = False
    shared_with_me: bool = False
    visibility: str = "limited"
    text: str = ""
    modified: datetime = datetime(2026, 5, 1, 12, tzinfo=UTC)
    properties: dict[str, str] = field(default_factory=dict)
    collections: dict[str, list[str]] = field(default_factory=dict)

    def time(self, field: str) -> datetime | None:
        return self.modified if field == "modifiedTime" else None

    def has_property(self, field: str, key: str, value: str) -> bool:
        return field == "appProperties" and self.properties.get(key) == value

    def members(self, collection: str) -> Collection[str]:
        return self.collections.get(collection, [])

    def is_me(self, address: str) -> str:
        return "me@x.org" if address == "me" else address


@given(NODES)
def test_what_is_written_is_read_back(node: Node) -> None:
    assert parse(render(node)) == node


@settings(max_examples=40)
@given(NODES)
def test_spaces_where_words_end_mean_nothing(node: Node) -> None:
    assert parse(f"  ( ( {render(node)} )\n)  ") == node


@pytest.mark.parametrize(
    "text",
    [
        "name", "name =", "name = x", "name='a", "name='a' and", "and name='a'", "name='a' name='b'", "(name='a'", "name='a')",
        "nam='a'", "title = 'a'", "name < 'a'", "name in 'a'", "'a' in", "'a' in children", "trashed", "trashed='true'",
        "trashed=yes", "trashed contains true", "name = true", "modifiedTime > 5", "modifiedTime > 'yesterday'",
        "modifiedTime contains '2026'", "appProperties has 'a'", "appProperties has { key='a' }",
        "appProperties has { key='a' and key='b' }", "appProperties = 'a'", "not", "name='a' xor name='b'", "()",
        "name='a' & trashed=false", "name='a'; drop", "visibility = 'all'", "mimeType > 'a'", "me in owners", "owners in 'me'",
        "name='it's'", "(" * 200 + "trashed=false" + ")" * 200,
    ],
)  # fmt: skip
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(DriveError) as refusal:
        parse(text)
    assert (refusal.value.status, refusal.value.reason, refusal.value.location) == (400, "invalid", "q")


@given(st.text(max_size=40))
def test_any_text_is_a_query_or_refused_with_400(text: str) -> None:
    try:
        node = parse(text)
    except DriveError as refusal:
        assert (refusal.status, refusal.reason) == (400, "invalid")
    else:
        assert parse(render(node)) == node


def test_and_and_or_bind_equally_from_left_to_right() -> None:
    a, b, c = (Compare("name", "=", name) for name in "abc")
    assert parse("name='a' or name='b' and name='c'") == Both(Either(a, b), c)
    assert parse("name='a' or (name='b' and name='c')") == Either(a, Both(b, c))
    assert parse("NOT name='a' AND name='b'") == Both(Not(a), b)


def test_quotes_and_backslashes_are_escaped() -> None:
    assert parse(r"name = 'Valentine\'s \\ Day'") == Compare("name", "=", "Valentine's \\ Day")


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("HelloWorld", "Hello", True),
        ("HelloWorld", "World", False),
        ("HelloWorld", "hELLO", True),
        ("My Hello World", "World", True),
        ("a_b-c.d", "b d", True),
        ("a_b-c.d", "d b", True),
        ("AR_Ab-ops-U-FI-DO_2022_11.csv", "AR_Ab-ops-DO_", True),
        ("incremental_checkpoint_0_1.tar.gz", "checkpoint", True),
        ("mycheckpoint_0", "checkpoint", False),
        ("syft_datasite#0.1.117#do@x.org#inbox#ds@y.org", "#do@x.org#inbox#ds@y.org", True),
        ("syft_datasite#0.1.117#do@x.org#outbox#ds@y.org", "#do@x.org#inbox#ds@y.org", False),
        ("syft_datasite#0.1.117#do@x.org#inbox#ds@y.organic", "#do@x.org#inbox#ds@y.org", True),
        ("Grüße_2026", "GRÜSSE", True),
        ("one two three", '"two three"', True),
        ("one two three", '"one three"', False),
        ("one two three", '"two thr"', False),
        ("#", "#", False),
        ("anything", "", False),
    ],
)
def test_name_contains_compares_the_beginnings_of_tokens(name: str, wanted: str, found: bool) -> None:
    assert name_contains(name, wanted) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name = 'plan.txt'", True),
        ("name = 'plan'", False),
        ("name != 'plan'", True),
        ("mimeType contains 'text/'", True),
        ("mimeType contains 'plain'", False),
        ("fullText contains 'quick fox'", True),
        ("fullText contains 'qui'", False),
        ("trashed = false and starred != true", True),
        ("sharedWithMe", True),
        ("not sharedWithMe", False),
        ("'me' in owners", False),
        ("'me' in readers and not 'me' in owners", True),
        ("'f1' in parents", True),
        ("appProperties has { key='k' and value='v' }", True),
        ("appProperties has { value='v' and key='k' }", True),
        ("appProperties has { key='k' and value='w' }", False),
        ("properties has { key='k' and value='v' }", False),
        ("modifiedTime > '2026-05-01T11:59:59'", True),
        ("modifiedTime = '2026-05-01T14:00:00+02:00'", True),
        ("modifiedTime < '2026-05-01T12:00:00Z'", False),
        ("viewedByMeTime > '2000-01-01T00:00:00'", False),
        ("visibility = 'limited'", True),
        ("not not trashed = false", True),
    ],
)
def test_a_query_is_applied_to_a_file(text: str, found: bool) -> None:
    file = File(
        name="plan.txt",
        shared_with_me=True,
        text="the quick brown fox",
        properties={"k": "v"},
        collections={"owners": ["you@x.org"], "readers": ["me@x.org", "you@x.org"], "parents": ["f1"]},
    )
    assert matches(parse(text), file) is found


def test_the_folder_that_a_query_insists_on_is_seen() -> None:
    assert required_parent(parse("trashed=false and 'f' in parents and name='a'")) == "f"
    assert required_parent(parse("trashed=false or 'f' in parents")) is None
    assert required_parent(parse("not 'f' in parents")) is None
