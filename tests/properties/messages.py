"""Messages of every kind, with and without the extension keys, for the properties of the codec."""

from __future__ import annotations

from typing import get_args

import hypothesis.strategies as st

from syftd.errors import ItemError
from syftd.names import Digest, Email, RelPath
from syftd.wire.messages import (
    CHUNK_BYTES,
    BlobRef,
    Change,
    Events,
    Outcome,
    Proposal,
    StreamPosition,
    Verdict,
)


def _is_path(text: str) -> bool:
    try:
        RelPath.parse(text)
    except ItemError:
        return False
    return True


part = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=12)
names = part | st.sampled_from([".env", "...", "a b", "syftd", "con", "-rf", "état", "%2e%2e"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join).filter(_is_path).map(RelPath.parse)
digests = st.binary(min_size=32, max_size=32).map(lambda raw: Digest.parse(raw.hex()))
emails = st.from_regex(r"\A[a-z0-9]{1,10}@[a-z0-9]{1,8}\.org\Z").map(Email.parse)
uids = st.uuids().map(str)
times = st.floats(0, 4e9).map(abs)
contents = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from([b"", b"a\r\nb\r\n", b"\xef\xbb\xbfmark", b"\0" * 99, b'{"syftd": {}}', b"\\u0000", b"\xed\xa0\x80"]),
)
reasons = st.text(st.characters(exclude_categories=("C", "Z")), max_size=60)


@st.composite
def changes(draw: st.DrawFn, *, extensions: bool) -> Change:
    """One change; with the extensions its content may lie in chunks and it may be executable."""
    path, before = draw(paths), draw(st.none() | digests)
    executable = extensions and draw(st.booleans())
    match draw(st.sampled_from(["inline", "deleted", "blob"] if extensions else ["inline", "deleted"])):
        case "deleted":
            return Change(path, before, None, executable=executable)
        case "blob":
            size = draw(st.integers(1, 3 * CHUNK_BYTES))
            count = -(-size // CHUNK_BYTES)
            blob = BlobRef(size, tuple(draw(st.lists(digests, min_size=count, max_size=count))))
            return Change(path, before, draw(digests), blob=blob, executable=executable)
        case _:
            content = draw(contents)
            return Change(path, before, Digest.of(content), content, executable=executable)


def batches(*, extensions: bool) -> st.SearchStrategy[tuple[Change, ...]]:
    """Changes of one message; a plain message has one at least."""
    one = changes(extensions=extensions)
    return st.lists(one, min_size=int(not extensions), max_size=5, unique_by=lambda change: change.path).map(tuple)


verdicts = st.builds(
    Verdict,
    uids,
    st.sampled_from(get_args(Outcome)),
    reasons,
    st.lists(st.tuples(paths, st.none() | digests), max_size=3).map(tuple),
)


@st.composite
def streams(draw: st.DrawFn) -> StreamPosition:
    """A position in a stream, with numbers just before it that were taken back."""
    sequence = draw(st.integers(1, 2**53 - 1))
    voided = draw(st.lists(st.integers(1, sequence - 1), unique=True, max_size=4)) if sequence > 1 else []
    epoch = draw(st.from_regex(r"\A[0-9a-f-]{1,36}\Z"))
    return StreamPosition(epoch, sequence, draw(st.none() | digests), tuple(sorted(voided)), draw(st.booleans()))


proposals = st.builds(Proposal, uids, emails, emails, times, batches(extensions=True), st.booleans())
plain_proposals = st.builds(Proposal, uids, emails, emails, times, batches(extensions=False))
events = st.builds(
    Events, uids, emails, times, batches(extensions=True), st.lists(verdicts, max_size=3).map(tuple),
    st.none() | streams(), st.sampled_from(["", "rejected", "removed"]),
)  # fmt: skip
plain_events = st.builds(Events, uids, emails, times, batches(extensions=False))
