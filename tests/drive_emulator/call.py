"""One call of a method, as the modules that carry it out see it, and the table of those that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.drive_emulator.mask import Mask

if TYPE_CHECKING:
    from tests.drive_emulator.service import Service


@dataclass(frozen=True)
class Media:
    """The content that came with a call."""

    content_type: str
    data: bytes


@dataclass(frozen=True)
class Download:
    """An answer that is a file's content."""

    content_type: str
    data: bytes


@dataclass
class Call:
    """Who calls, with what. `mask` is the part of the answer that was asked for, None for all of it."""

    user: str
    params: dict[str, Any]
    service: Service
    body: dict[str, Any] = field(default_factory=dict)
    media: Media | None = None
    wants_media: bool = False
    mask: Mask | None = None

    def wanted(self, *below: str) -> set[str] | None:
        """The fields asked for of the answer, or of what lies below the names given; None for all."""
        masks = [] if self.mask is None else [self.mask]
        for name in below:
            inner = [mask[key] for mask in masks for key in (name, "*") if key in mask]
            if None in inner:
                return None
            masks = [mask for mask in inner if mask is not None]
        names = {name for mask in masks for name in mask}
        return None if "*" in names or self.mask is None else names

    @property
    def all_drives(self) -> bool:
        """Whether the client says that it copes with shared drives."""
        return bool(self.params.get("supportsAllDrives") or self.params.get("supportsTeamDrives"))

    @property
    def with_drive_items(self) -> bool:
        """Whether a listing is to include what lies in shared drives."""
        asked = self.params.get("includeItemsFromAllDrives") or self.params.get("includeTeamDriveItems")
        return bool(asked) and self.all_drives


Answer = dict[str, Any] | Download | None
Verb = Callable[[Call], Answer]

VERBS: dict[str, Verb] = {}
"""What carries out each method, by its id in the discovery document."""


def verb(method_id: str) -> Callable[[Verb], Verb]:
    """Enters a function into `VERBS`."""

    def enter(function: Verb) -> Verb:
        VERBS[method_id] = function
        return function

    return enter
