"""Partial answers: the `fields` parameter, `files(id,owners/emailAddress),nextPageToken` and its like."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.schema import Discovery, Schema

Mask = dict[str, "Mask | None"]
"""Which fields to keep: None keeps everything below a field. The name "*" stands for every field at its level."""

_FILE: Final = "kind,id,name,mimeType,resourceKey,driveId,teamDriveId"
_PERMISSION: Final = "kind,id,type,role,allowFileDiscovery"
DEFAULTS: Final[dict[str, str]] = {
    "drive.files.create": _FILE,
    "drive.files.get": _FILE,
    "drive.files.update": _FILE,
    "drive.files.copy": _FILE,
    "drive.files.list": f"kind,incompleteSearch,nextPageToken,files({_FILE})",
    "drive.permissions.create": _PERMISSION,
    "drive.permissions.get": _PERMISSION,
    "drive.permissions.update": _PERMISSION,
    "drive.permissions.list": f"kind,nextPageToken,permissions({_PERMISSION})",
    "drive.changes.list": "kind,nextPageToken,newStartPageToken,"
    f"changes(kind,type,changeType,time,removed,fileId,driveId,file({_FILE}))",
    "drive.drives.create": "kind,id,name",
    "drive.drives.get": "kind,id,name",
    "drive.drives.update": "kind,id,name",
    "drive.drives.list": "kind,nextPageToken,drives(kind,id,name)",
}
"""What an answer holds when the request has no `fields`; everything where nothing is named here."""


@lru_cache(maxsize=256)
def parse(text: str) -> Mask:
    """The mask that `text` describes, not to be changed. Raises DriveError (400 invalidParameter) for what is none."""
    parser = _Parser(text)
    mask = parser.selection()
    if parser.rest():
        raise _refusal(text)
    return mask


def validate(mask: Mask, schema: Schema, discovery: Discovery) -> None:
    """Raises DriveError when the mask names a field that the answer's schema does not have."""
    known = discovery.fields(schema)
    for name, inner in mask.items():
        if known is None:
            continue  # A map with free keys: any name may occur.
        if name == "*":
            for each in known.values():
                if inner is not None and discovery.fields(each):
                    validate(inner, each, discovery)
            continue
        if name not in known:
            raise _refusal(name)
        if inner is not None:
            validate(inner, known[name], discovery)


def apply(mask: Mask, value: Any) -> Any:
    """The part of `value` that the mask keeps."""
    if isinstance(value, list):
        return [apply(mask, element) for element in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, element in value.items():
        chosen = [mask[key] for key in (name, "*") if key in mask]
        if not chosen:
            continue
        if None in chosen:
            kept[name] = element
            continue
        merged: Mask = {}
        for inner in chosen:
            merged = _merged(merged, inner or {})
        kept[name] = apply(merged, element)
    return kept


def _merged(one: Mask, other: Mask) -> Mask:
    merged = dict(one)
    for name, inner in other.items():
        known = merged.get(name, {})
        merged[name] = None if inner is None or known is None else _merged(known, inner)
    return merged


def _refusal(text: str) -> DriveError:
    return DriveError(400, "invalidParameter", f"Invalid field selection {text}", location="fields")


class _Parser:
    """selection = term {"," term};  term = name {"/" name} ["(" selection ")"];  spaces mean nothing."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = "".join(text.split())

    def rest(self) -> str:
        return self._left

    def selection(self) -> Mask:
        mask = self._term()
        while self._left.startswith(","):
            self._left = self._left[1:]
            mask = _merged(mask, self._term())
        return mask

    def _term(self) -> Mask:
        name = self._name()
        if self._left.startswith("/"):
            self._left = self._left[1:]
            return {name: self._term()}
        if self._left.startswith("("):
            self._left = self._left[1:]
            inner = self.selection()
            if not self._left.startswith(")"):
                raise _refusal(self._text)
            self._left = self._left[1:]
            return {name: inner}
        return {name: None}

    def _name(self) -> str:
        length = 0
        while length < len(self._left) and self._left[length] not in ",/()":
            length += 1
        name, self._left = self._left[:length], self._left[length:]
        if not name or ("*" in name and name != "*"):
            raise _refusal(self._text)
        return name
