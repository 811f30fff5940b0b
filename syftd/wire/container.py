"""The container of a message: one JSON member in a tar in gzip. Nothing is ever extracted to a disk.

Packing is deterministic: the same body gives the same bytes. Unpacking first bounds what may come out, then reads the
tar in memory with a reader that knows plain files and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from syftd.errors import Malformed, TooLarge
from syftd.wire.messages import Limits

MEMBER: Final = "proposed_file_changes.json"
"""The one member that counts, whatever kind of message it is; others are ignored."""

_BLOCK: Final = 512
_RECORD: Final = 20 * _BLOCK
_LARGE_BODY: Final = 64 * 1024
# Deflate, no flags, no time, no name, "unknown" as the operating system: nothing of this machine or moment.
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_OCTAL: Final = frozenset(b"01234567")


def pack(body: bytes, limits: Limits, *, dense: bool = False) -> bytes:
    """Puts a JSON body into its container. Raises TooLarge when a peer with these limits would have to refuse it.

    `dense`: most of the body is base64, in which searching for repeated strings costs much and finds nothing.
    """
    tar_size = -(-(len(body) + 3 * _BLOCK) // _RECORD) * _RECORD
    if tar_size > limits.decompressed_bytes:
        raise TooLarge(
            f"the message is {tar_size} bytes before compression; the limit is {limits.decompressed_bytes}",
            "Send fewer or smaller files in one message, or send the content as blobs.",
        )
    tar = b"".join((_tar_header(len(body)), body, bytes(tar_size - _BLOCK - len(body))))
    if dense:
        deflated = _deflate(tar, level=1, strategy=zlib.Z_HUFFMAN_ONLY)
    else:
        deflated = _deflate(tar, level=1 if len(body) > _LARGE_BODY else 6, strategy=zlib.Z_DEFAULT_STRATEGY)
    # Very repetitive content would look like a decompression bomb to the reader. Without string matches deflate cannot
    # do better than one bit a byte, far below any ratio limit.
    if len(tar) > limits.ratio_floor and len(deflated) * (limits.ratio // 2) < len(tar):
        deflated = _deflate(tar, level=1, strategy=zlib.Z_HUFFMAN_ONLY)
    packed = b"".join((_GZIP_HEADER, deflated, struct.pack("<II", zlib.crc32(tar), len(tar) & 0xFFFFFFFF)))
    if len(packed) > limits.message_bytes:
        raise TooLarge(
            f"the message is {len(packed)} bytes; the limit is {limits.message_bytes}",
            "Send fewer or smaller files in one message, or send the content as blobs.",
        )
    return packed


def unpack(packed: bytes, limits: Limits) -> bytes:
    """The JSON body of a message. Raises TooLarge or Malformed; holds at most `limits.decompressed_bytes` at a time
    beside the input and the result."""
    return _member(_inflate(packed, limits), limits)


def _deflate(content: bytes, *, level: int, strategy: int) -> bytes:
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return squeeze.compress(content) + squeeze.flush()


def _inflate(packed: bytes, limits: Limits) -> bytes:
    if len(packed) > limits.message_bytes:
        raise TooLarge(f"the message is {len(packed)} bytes; the limit is {limits.message_bytes}")
    by_ratio = max(limits.ratio_floor, limits.ratio * len(packed))
    most = min(limits.decompressed_bytes, by_ratio)
    stream = zlib.decompressobj(_GZIP_WINDOW)
    try:
        tar = stream.decompress(packed, most + 1)
    except zlib.error as error:
        raise Malformed(f"the message is not valid gzip: {error}") from None
    if len(tar) > most:
        if most == by_ratio:
            raise TooLarge(f"the message of {len(packed)} bytes grows more than {limits.ratio} times when decompressed")
        raise TooLarge(f"the message is more than {most} bytes when decompressed")
    if not stream.eof:
        raise Malformed(f"the message ends in the middle of its gzip stream, after {len(packed)} bytes")
    if stream.unused_data:
        raise Malformed("bytes follow the end of the message's gzip stream")
    return tar


def _member(tar: bytes, limits: Limits) -> bytes:
    """The body of the member that counts; other plain files are stepped over, anything else is refused."""
    offset = members = 0
    found: tuple[int, int] | None = None
    while offset < len(tar):
        header = tar[offset : offset + _BLOCK]
        if len(header) < _BLOCK:
            raise Malformed("the tar inside the message is cut off")
        if not header.strip(b"\0"):
            break
        members += 1
        if members > limits.members:
            raise TooLarge(f"the tar inside the message has more than {limits.members} members")
        name, size = _read_header(header)
        start = offset + _BLOCK
        if size > len(tar) - start:
            raise Malformed("a member of the tar inside the message is cut off")
        if name == MEMBER:
            if found is not None:
                raise Malformed(f"the tar inside the message holds {MEMBER} twice")
            found = (start, size)
        offset = start + -(-size // _BLOCK) * _BLOCK
    if found is None:
        raise Malformed(f"the tar inside the message holds no {MEMBER}")
    start, size = found
    return tar[start : start + size]


def _read_header(header: bytes) -> tuple[str, int]:
    """Name and size of a plain file. Links, devices, folders and the extended headers that could rename or resize a
    member are refused: no writer of the network makes them, and readers disagree about them."""
    kind = header[156:157]
    if kind not in (b"0", b"\0"):
        raise Malformed(f"the tar inside the message has a member of type {kind!r}; only plain files may be there")
    if _octal(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * 0x20:
        raise Malformed("a header of the tar inside the message has a wrong checksum")
    raw_name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    if prefix:
        raw_name = prefix + b"/" + raw_name
    name = raw_name.decode("utf-8", "replace")
    if not name or name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise Malformed(f"the tar inside the message has a member named {name!r}")
    return name, _octal(header[124:136])


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or not _OCTAL.issuperset(digits):
        raise Malformed("a header of the tar inside the message holds something that is not an octal number")
    return int(digits, 8)


def _tar_header(size: int) -> bytes:
    """One ustar header: a plain file with mode 0644 and neither owner nor time."""
    header = bytearray(_BLOCK)
    header[0 : len(MEMBER)] = MEMBER.encode("ascii")
    header[100:108] = b"0000644\0"
    header[108:116] = header[116:124] = b"0000000\0"
    header[124:136] = b"%011o\0" % size
    header[136:148] = b"00000000000\0"
    header[148:156] = b"        "
    header[156:157] = b"0"
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)
