"""Whoever does not use Drive does not pay for Google's libraries, neither in time nor in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
{imports}
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("google", "googleapiclient", "httplib2", "oauthlib",
      "requests", "google_auth_httplib2", "google_auth_oauthlib")))
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import syftd.daemon.wiring, syftd.api.server, syftd.cli.main, syftd.cli.status, syftd.cli.doctor, syftd.cli.init",
        "import syftd.transport.drive.mailbox, syftd.transport.drive.login, syftd.cli.login",
    ],
    ids=["a daemon on a folder", "a daemon on Drive before its first call"],
)
def test_googles_libraries_are_not_loaded(imports: str) -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM.format(imports=imports)], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []


def test_the_wiring_of_a_folder_loads_nothing_of_drive() -> None:
    program = "import sys, syftd.daemon.wiring; print(*(name for name in sys.modules if 'transport.drive' in name))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
