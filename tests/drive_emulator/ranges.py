"""Downloads, whole or in part."""

from __future__ import annotations

import re
from typing import Final

from tests.drive_emulator.call import Download
from tests.drive_emulator.message import Response

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def ranged(download: Download, header: str | None) -> Response:
    """200 with everything, 206 with the range asked for, or 416 when there is nothing in it.

    A header that is no single range of bytes is ignored, as HTTP has it.
    """
    size = len(download.data)
    headers = {"Content-Type": download.content_type, "Accept-Ranges": "bytes"}
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.groups() == ("", "") or (found[1] and found[2] and int(found[2]) < int(found[1])):
        return Response(200, download.data, headers)
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    else:
        start, end = max(size - int(found[2]), 0), size - 1
    if start >= size or (not found[1] and int(found[2]) == 0):
        return Response(416, b"", headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Response(206, download.data[start : end + 1], headers)
