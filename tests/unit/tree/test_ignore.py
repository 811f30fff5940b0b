"""What never travels, and the words for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from syftd.tree.filesystem import granularity_ns, is_remote, kind
from syftd.tree.ignore import Ignore


@pytest.mark.parametrize(
    "path",
    [
        "private/x", "private/a/b", "private", ".syft/datasite.json", "a/.git/config", ".venv/bin/python", ".DS_Store",
        "a/b/node_modules/x", "a/.syftd-0011.tmp", "a.swp", "d/x~", "d/.#x", "d/x.tmp", ".~lock.report.odt#", "d/4913",
    ],
)  # fmt: skip
def test_never_travels(path: str) -> None:
    reason = Ignore().reason(path)
    assert reason and "/" not in reason[:1]


@pytest.mark.parametrize(
    "path", ["a", "d/private/x", "privately", ".syftignore", "d/.syft/x", "49130", "x.tmp/y", "swp", "d/.gitignore"]
)
def test_travels(path: str) -> None:
    assert Ignore().reason(path) is None


def test_ignore_files_nest_and_the_inner_one_wins() -> None:
    texts = {"syftignore": "*.log\nbuild/\n/top\n", "d/syftignore": "!keep.log\nlocal\n"}
    ignore = Ignore(texts.get)
    assert ignore.reason("x.log") == "syftignore says so"
    assert ignore.reason("d/x.log") == "syftignore says so"
    assert ignore.reason("d/keep.log") is None
    assert ignore.reason("d/e/local") == "d/syftignore says so"
    assert ignore.reason("local") is None
    assert ignore.reason("a/build/x") == "syftignore says so"
    assert ignore.reason("build") is None
    assert ignore.reason("build", directory=True) == "syftignore says so"
    assert ignore.reason("top") == "syftignore says so"
    assert ignore.reason("a/top") is None
    texts.clear()
    assert ignore.reason("x.log") == "syftignore says so", "texts are read once"
    ignore.forget()
    assert ignore.reason("x.log") is None


def test_pathspec_is_loaded_only_for_those_who_need_it() -> None:
    code = (
        "import sys; from syftd.tree.ignore import Ignore; Ignore().reason('a/b'); import syftd.tree.disk;"
        "sys.exit('pathspec' in sys.modules or 'ctypes' in sys.modules or 'watchdog' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_file_systems() -> None:
    assert kind("/proc/self") == "proc"
    assert is_remote("nfs4") and is_remote("fuse.sshfs") and not is_remote("ext4")
    assert granularity_ns("vfat", []) == 2 * 10**9
    assert granularity_ns("ext4", [123]) == 10**7
    assert granularity_ns("", [10**18 + 10**9]) == 10**9
