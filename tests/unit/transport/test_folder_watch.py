"""Which file systems tell of changes, and what people are told when none can be watched."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from syftd.transport.folder_watch import filesystem_type, tells_changes, why_not_watched

MOUNTS = r"""
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:30 / /net/lab rw shared:2 - nfs4 server:/lab rw
31 22 0:31 / /net/lab/inner rw - fuse.sshfs host: rw
32 22 8:17 / /media/MY\040STICK rw - exfat /dev/sdb1 rw
33 22 0:40 / /over rw - ext4 /dev/a rw
34 22 0:41 / /over rw - cifs //host/share rw
broken line
35 22 0:42
"""


@pytest.mark.parametrize(
    ("path", "kind", "tells"),
    [
        ("/home/me", "ext4", True),
        ("/net/lab/shared", "nfs4", False),
        ("/net/laboratory", "ext4", True),
        ("/net/lab/inner", "fuse.sshfs", False),
        ("/media/MY STICK/syft", "exfat", True),
        ("/over/x", "cifs", False),
    ],
)
def test_the_mount_that_holds_the_path_decides(tmp_path: Path, path: str, kind: str, tells: bool) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert filesystem_type(Path(path), table) == kind
    assert tells_changes(kind) is tells


def test_without_a_table_of_mounts_the_type_is_unknown_and_worth_a_watch(tmp_path: Path) -> None:
    assert filesystem_type(tmp_path, tmp_path / "none") == ""
    assert tells_changes("")


@pytest.mark.parametrize(
    ("code", "word"),
    [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances"), (errno.EACCES, "denied")],
)
def test_a_watch_that_fails_is_explained(code: int, word: str) -> None:
    text = why_not_watched(PermissionError(code, "Permission denied"), Path("/shared"))
    assert word in text
    assert "/shared is polled" in text
