"""Tables that are kept true by the database itself: whatever is written to the ones they follow."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from syftd.names import Digest, Email, RelPath
from syftd.state import files, streams
from syftd.state.db import in_memory
from syftd.state.streams import Told
from tests.properties.effort import examples
from tests.properties.trees import DIGESTS

OWNERS = [Email("ada@example.org"), Email("bob@example.org")]
PATHS = [RelPath("a"), RelPath("b/c")]

digests = st.sampled_from(DIGESTS[:2])
owners, paths = st.sampled_from(OWNERS), st.sampled_from(PATHS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), owners, paths, digests, st.booleans()),
        st.tuples(st.just("untell"), owners, paths),
        st.tuples(st.just("put"), owners, paths, digests),
        st.tuples(st.just("drop"), owners, paths),
        st.tuples(st.just("drop site"), owners),
        st.tuples(st.just("drop owner"), owners),
    ),
    max_size=16,
)


@examples(200)
@given(steps)
def test_wanted_is_what_is_told_in_chunks_and_not_there(steps: list[tuple[str, Email, RelPath, Digest, bool]]) -> None:
    db = in_memory()
    told: dict[tuple[Email, RelPath], tuple[Digest, bool]] = {}
    there: dict[tuple[Email, RelPath], Digest] = {}
    for what, owner, *rest in steps:
        match what, rest:
            case "tell", [path, digest, large]:
                told[owner, path] = (digest, large)
                streams.tell(db, owner, "e", [Told(path, digest, False, 9, (digest,) if large else None)])
            case "untell", [path]:
                told.pop((owner, path), None)
                streams.untell(db, owner, [path])
            case "put", [path, digest]:
                there[owner, path] = digest
                files.put(db, owner, [files.FileRow(path, path, digest, 9, 0, 0, 0, False, True)])
            case "drop", [path]:
                there.pop((owner, path), None)
                files.drop(db, owner, [path])
            case _:
                there = {key: digest for key, digest in there.items() if key[0] != owner}
                files.drop_site(db, owner)
                if what == "drop owner":
                    told = {key: value for key, value in told.items() if key[0] != owner}
                    streams.drop_owner(db, owner)
        wanted = {key: digest for key, (digest, large) in told.items() if large and there.get(key) != digest}
        assert {(owner, item.path): item.sha256 for owner, item in streams.wanted(db)} == wanted
        for digest in DIGESTS[:2]:
            assert streams.is_wanted(db, digest) == (digest in wanted.values())
            for one in OWNERS:
                mine = [found for (who, _), found in wanted.items() if who == one]
                assert streams.is_wanted(db, digest, one) == (digest in mine)
                assert [item.sha256 for _, item in streams.wanted(db, one)].count(digest) == mine.count(digest)
    db.close()
