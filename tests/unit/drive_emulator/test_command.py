from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.drive_emulator import DriveEmulator


def test_it_starts_by_hand_and_prints_its_url(tmp_path: Path) -> None:
    rules = tmp_path / "faults.json"
    rules.write_text(json.dumps([{"match": {"nth": 1}, "action": {"error": "backendError"}}]))
    command = [sys.executable, "-m", "tests.drive_emulator", "--port", "0", "--latency-ms", "1", "--faults", str(rules)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/_settings", timeout=10) as answer:
            assert json.load(answer)["latency_ms"] == 1
        with urllib.request.urlopen(f"{url}/_faults", timeout=10) as answer:
            assert json.load(answer)[0]["struck"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_a_fault_file_that_is_none_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "faults.json"
    rules.write_text('[{"match": {}}]')
    command = [sys.executable, "-m", "tests.drive_emulator", "--faults", str(rules)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert "a rule has a match and an action" in ended.stderr


def test_a_reset_brings_back_the_beginning(emulator: DriveEmulator, owner: object, send: object) -> None:
    emulator.configure(latency_ms=1, list_lag_listings=3, default_user="a@x.org")
    emulator.inject({"action": {"error": "backendError"}})
    with urllib.request.urlopen(urllib.request.Request(f"{emulator.url}/_reset", method="POST"), timeout=10) as answer:
        assert answer.status == 200
    assert emulator.service.settings.latency_ms == 0
    assert emulator.service.settings.default_user == ""
    assert emulator.stats()["calls"] == 0
    assert emulator.service.faults.listed() == []
    assert emulator.service.store.items == {}


def test_settings_are_checked(emulator: DriveEmulator) -> None:
    for body in (b'{"colour": 1}', b'{"latency_ms": "5"}', b'{"latency_ms": -1}', b"[]", b"{"):
        request = urllib.request.Request(f"{emulator.url}/_settings", data=body, method="POST")
        try:
            urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as refusal:
            assert refusal.code == 400
            refusal.close()
        else:
            raise AssertionError(f"{body!r} was taken")
