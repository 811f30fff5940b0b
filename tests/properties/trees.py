"""Trees of contents as the planner sees them, for the properties of the planner."""

from __future__ import annotations

import hypothesis.strategies as st

from syftd.names import Digest, RelPath
from syftd.plan.own import Content

DIGESTS = [Digest(letter * 64) for letter in "abcd"]

contents = st.builds(Content, st.sampled_from(DIGESTS), st.integers(0, 3), st.booleans())
paths = st.sampled_from([RelPath(f"{folder}/{name}") for folder in "abc" for name in "xyz"])
trees = st.dictionaries(paths, contents, max_size=9)

Tree = dict[RelPath, Content]
