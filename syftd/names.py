"""Names that are parsed once at the border and trusted afterwards: RelPath, Email, Digest.

A `RelPath` is the canonical key of a file inside one datasite: UTF-8, NFC, '/'-separated, relative, without empty, '.'
or '..' parts, control characters or backslashes, at most 255 bytes a part and 4,096 bytes in all.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

from syftd.errors import Malformed, UserError

PERMISSION_FILE: Final = "syft.pub.yaml"
MAX_PATH_BYTES: Final = 4096
MAX_PART_BYTES: Final = 255

# Fewer signs than the mail standards allow: an address is also a folder's name, a part of box names that are joined with
# '#', and an entry of permission files, where '*' and '?' are wildcards and braces a template.
_EMAIL = re.compile(r"[a-z0-9_%+=~^.-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?", re.ASCII)
_HEX64 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Email(str):
    """An address, lower-cased; it names one datasite and one folder, so it holds no '/' and no leading dot."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Email:
        """Returns the address in lower case; raises UserError when it is not one or cannot be a folder's name."""
        lowered = text.strip().lower()
        if not _EMAIL.fullmatch(lowered) or "/" in lowered or ".." in lowered or lowered.startswith("."):
            raise UserError(f"“{text}” is not an e-mail address syftd can use", "Write it like name@example.org.")
        return cls(lowered)


class Digest(str):
    """A SHA-256 in 64 lower-case hex digits."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Raises Malformed unless `text` is 64 lower-case hex digits."""
        if not isinstance(text, str) or not _HEX64.fullmatch(text):
            raise Malformed(f"not a SHA-256 in lower-case hex: {text!r:.80}")
        return cls(text)

    @classmethod
    def of(cls, content: bytes | memoryview) -> Digest:
        return cls(hashlib.sha256(content).hexdigest())


class RelPath(str):
    """The canonical path of a file inside a datasite."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> RelPath:
        """Raises Malformed unless `text` is already in canonical form; never repairs, so check and write see one value."""
        if not isinstance(text, str) or not text:
            raise Malformed("empty path")
        if not text.isascii():
            try:
                encoded = text.encode("utf-8")
            except UnicodeEncodeError:
                raise Malformed(f"path is not valid Unicode: {text!r:.120}") from None
            if unicodedata.normalize("NFC", text) != text:
                raise Malformed(f"path is not in Unicode form NFC: {text!r:.120}")
            size = len(encoded)
        else:
            size = len(text)
        if size > MAX_PATH_BYTES:
            raise Malformed(f"path is longer than {MAX_PATH_BYTES} bytes: {text[:60]!r}…")
        for char in text:
            if char < " " or char == "\\" or "\x7f" <= char <= "\x9f" or "\u202a" <= char <= "\u202e":
                raise Malformed(f"path holds a control character or a backslash: {text!r:.120}")
        for part in text.split("/"):
            if part in ("", ".", ".."):
                raise Malformed(f"path is not relative and normal: {text!r:.120}")
            if len(part) > MAX_PART_BYTES // 4 and len(part.encode("utf-8")) > MAX_PART_BYTES:
                raise Malformed(f"path part is longer than {MAX_PART_BYTES} bytes: {part[:60]!r}…")
        return cls(text)

    @classmethod
    def from_disk(cls, text: str) -> RelPath:
        """The key of a name found on our own disk: normalised to NFC, then parsed. Raises Malformed when it has none."""
        if text.isascii():
            return cls.parse(text)
        try:
            return cls.parse(unicodedata.normalize("NFC", text))
        except UnicodeEncodeError:
            raise Malformed(f"file name is not valid UTF-8: {text!r:.120}") from None

    @property
    def parts(self) -> list[str]:
        return self.split("/")

    @property
    def parent(self) -> str:
        """The directory part, '' for the top."""
        return self.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.rpartition("/")[2]

    @property
    def is_permission_file(self) -> bool:
        return self == PERMISSION_FILE or self.endswith("/" + PERMISSION_FILE)
