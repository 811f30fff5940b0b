"""Logging: where lines go, what is removed from them, and the journal's protocol."""

import errno
import io
import json
import logging
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from syftd import log


@pytest.fixture(autouse=True)
def undo() -> Iterator[None]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_lines_carry_name_level_and_fields() -> None:
    out = io.StringIO()
    log.setup("info", stream=out, env={})
    log.logger("sync").bind(peer="bob@x.org").info("published", path="a.txt")
    (line,) = lines(out)
    assert (line["logger"], line["level"], line["event"], line["peer"], line["path"]) == (
        "sync", "info", "published", "bob@x.org", "a.txt",
    )  # fmt: skip
    assert str(line["timestamp"]).endswith("Z")


def test_the_level_holds_and_can_be_changed() -> None:
    out = io.StringIO()
    log.setup("warning", stream=out, env={})
    named = log.logger("x")
    named.info("no")
    named.warning("yes")
    log.setup("debug", stream=out, env={})
    named.debug("now")
    assert [line["event"] for line in lines(out)] == ["yes", "now"]


def test_secrets_never_reach_a_line() -> None:
    out = io.StringIO()
    log.setup(stream=out, env={})
    log.logger("x").info(
        "hello", token="s3cret", deep={"Authorization": "s3cret", "list": [{"api_key": "s3cret"}]}, key="s3cret",
        url="https://me:s3cret@host/x", body=b"s3cret", refresh_token="s3cret", password="s3cret", monkey="kept",
    )  # fmt: skip
    assert "s3cret" not in out.getvalue()
    assert lines(out)[0]["monkey"] == "kept"
    assert lines(out)[0]["body"] == "[6 bytes]"


def test_an_exception_brings_its_trace() -> None:
    out = io.StringIO()
    log.setup(stream=out, env={})
    try:
        raise ValueError("why")
    except ValueError:
        log.logger("x").exception("failed")
    assert "ValueError: why" in str(lines(out)[0]["exception"])


def test_libraries_are_heard_too() -> None:
    out = io.StringIO()
    log.setup(stream=out, env={})
    logging.getLogger("watchdog").warning("queue %s", "overflow")
    assert (lines(out)[0]["logger"], lines(out)[0]["event"]) == ("watchdog", "queue overflow")


def test_the_console_shows_no_control_character_of_a_peer() -> None:
    out = Terminal()
    log.setup(stream=out, env={"NO_COLOR": "1"})
    log.logger("x").info("got", path="a\x1b[2Jb\x9bc")
    assert "\x1b" not in out.getvalue() and "\x9b" not in out.getvalue() and "got" in out.getvalue()
    coloured = Terminal()
    log.setup(stream=coloured, env={})
    log.logger("x").info("got")
    assert "\x1b[" in coloured.getvalue()


def test_the_file_is_private_and_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 2000)
    log.setup(stream=io.StringIO(), env={}, file=tmp_path / "syftd.log")
    for number in range(100):
        log.logger("x").info("line with a % in it", number=number)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["syftd.log", *(f"syftd.log.{n}" for n in range(1, 6))]
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}
    assert json.loads((tmp_path / "syftd.log").read_text().splitlines()[-1])["number"] == 99


def parse(datagram: bytes) -> dict[str, str]:
    fields, rest = {}, datagram
    while rest:
        line, _, after = rest.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            rest = after
        else:
            (size,) = struct.unpack_from("<Q", after)
            name, value = line, after[8 : 8 + size]
            rest = after[9 + size :]
        fields[name.decode()] = value.decode()
    return fields


def test_the_journal_gets_native_fields(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.settimeout(10)
        journal.bind(str(tmp_path / "j"))
        log.setup(format="journal", env={}, stream=io.StringIO(), journal=str(tmp_path / "j"))
        log.logger("sync").error("two\nlines", path="a=b", count=3)
        fields = parse(journal.recv(65536))
    assert fields == {
        "MESSAGE": "two\nlines", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "syftd", "SYFTD_LOGGER": "sync",
        "SYFTD_PATH": "a=b", "SYFTD_COUNT": "3",
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="sealed files are Linux's")
def test_a_line_too_large_for_a_datagram_travels_as_a_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.settimeout(10)
        journal.bind(str(tmp_path / "j"))
        log.setup(format="journal", env={}, stream=io.StringIO(), journal=str(tmp_path / "j"))
        log.logger("x").info("big", text="y" * 2_000_000)
        _, descriptors, _, _ = socket.recv_fds(journal, 16, 1)
        with os.fdopen(descriptors[0], "rb") as file:
            file.seek(0)
            assert len(parse(file.read())["SYFTD_TEXT"]) == 2_000_000


def test_a_lost_journal_loses_no_line(tmp_path: Path) -> None:
    out = io.StringIO()
    log.setup(format="journal", env={}, stream=out, journal=str(tmp_path / "nothing"))
    log.logger("x").info("still here")
    assert lines(out)[0]["event"] == "still here"


def test_the_journal_is_found_by_device_and_inode(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as stream:
        found = os.fstat(stream.fileno())
        assert log.goes_to_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}, stream)
        assert not log.goes_to_journal({"JOURNAL_STREAM": "1:2"}, stream)
        assert not log.goes_to_journal({}, stream)
    assert not log.goes_to_journal({"JOURNAL_STREAM": "1:2"}, io.StringIO())


class FullDisk(io.StringIO):
    """A stream whose disk is full until `room` is true."""

    room = False

    def flush(self) -> None:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_line_that_cannot_be_written_stops_nothing_and_is_told_of_later(format: str) -> None:
    out = FullDisk()
    log.setup("info", format, stream=out, env={})
    for number in range(3):
        log.logger("sync").info("lost", number=number)
    out.room = True
    log.logger("sync").info("written again")
    said = out.getvalue()
    assert "written again" in said.splitlines()[-1]
    assert "3" in said.splitlines()[-2] and "lines" in said.splitlines()[-2]
    log.logger("sync").info("and again")
    assert out.getvalue().count("lines") == said.count("lines")
