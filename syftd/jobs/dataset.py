"""Where a dataset that a job asks for by name lies at its owner: one rule, for those who look and for those who run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from syftd.tree.contract import Kind

_FOLDERS: Final = ("private", "private/syft_datasets")


def place_of(name: str, kind: Callable[[str], Kind | None], names: Callable[[str], Iterable[str]]) -> str | None:
    """The path in the owner's datasite of the private dataset `name`, None when there is none.

    It is a folder or file of that name, or a file of that name with an ending, directly in private/ or
    private/syft_datasets/; the name is never taken as a path. `kind` says what stands at a path of the datasite, `names`
    lists a directory.
    """
    if "/" in name or not name or name.startswith("."):
        return None
    for above in _FOLDERS:
        if kind(f"{above}/{name}") in ("file", "directory"):
            return f"{above}/{name}"
        for entry in names(above):
            if entry.rpartition(".")[0] == name and kind(f"{above}/{entry}") == "file":
                return f"{above}/{entry}"
    return None
