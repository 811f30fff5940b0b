"""Large files cross whole, and go on where they stopped when either side ends in the middle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.boxes import objects
from tests.journeys.conftest import OWNER, Pair
from tests.journeys.daemons import Daemon, wait_until

MEBIBYTE = 1024 * 1024
CHUNK = 4 * MEBIBYTE
SIZE = 40 * MEBIBYTE + 12_345
SECONDS = 90.0


def chunks(mailbox: Path) -> dict[str, tuple[int, int]]:
    """The chunks that lie in the shared folder: name → (inode, time of writing)."""
    found = {}
    for path in objects(mailbox):
        if path.parent.parent.name == "syft_blobs" and len(path.name) == 64:
            try:
                seen = path.stat()
            except FileNotFoundError:
                continue  # It was collected in this moment.
            found[path.name] = (seen.st_ino, seen.st_mtime_ns)
    return found


def staged(one: Daemon) -> int:
    """How many bytes of large files are on their way down: what the stage files really occupy."""
    total = 0
    for path in (one.data / ".stage").iterdir():
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue  # It was moved into its place.
    return total


def same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


@pytest.fixture
def content() -> Iterator[bytes]:
    yield os.urandom(SIZE)


def test_it_crosses_byte_equal_and_a_rename_and_a_copy_cost_nothing(pair: Pair, content: bytes) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("public/scan.bin", content)
    mirror = researcher.mirror(OWNER) / "public"
    researcher.wait_for(lambda: same(mirror / "scan.bin", content), SECONDS, "the large file", 0.05)
    before = chunks(owner.folder)
    (owner.own / "public/scan.bin").rename(owner.own / "public/renamed.bin")

    def arrived() -> bool:
        # The file is never in neither place: the new name comes before the old one goes.
        old = (mirror / "scan.bin").exists()
        new = (mirror / "renamed.bin").exists()
        assert old or new
        return new and not old

    researcher.wait_for(arrived, SECONDS, "the rename", 0.002)
    assert same(mirror / "renamed.bin", content)
    owner.write("public/copy.bin", content)
    researcher.wait_for(lambda: same(mirror / "copy.bin", content), SECONDS, "the copy", 0.05)
    after = chunks(owner.folder)
    assert after == before, "a rename or a copy sent a chunk again"


def test_a_receiver_that_is_killed_goes_on_where_it_was(pair: Pair, content: bytes) -> None:
    owner, researcher = pair.owner, pair.researcher
    researcher.stop()
    owner.write("public/scan.bin", content)
    owner.wait_for(lambda: len(chunks(owner.folder)) == 11, SECONDS, "all chunks in the shared folder", 0.05)
    # One chunk is out of reach for a while, so that the download stands still in the middle.
    last = hashlib.sha256(content[10 * CHUNK :]).hexdigest()
    held = next(path for path in objects(owner.folder) if path.name == last)
    held.rename(owner.home / "held")
    researcher.start()
    researcher.wait_for(lambda: staged(researcher) >= 8 * CHUNK, SECONDS, "most of the file", 0.01)
    researcher.kill()
    assert not (researcher.mirror(OWNER) / "public/scan.bin").exists()
    # What came down already must not be needed again: only the one that was missing is in the folder now.
    for path in objects(owner.folder):
        if path.parent.parent.name == "syft_blobs" and path.name != last:
            path.rename(owner.home / path.name)
    (owner.home / "held").rename(held)
    missing = [hashlib.sha256(content[at : at + CHUNK]).hexdigest() for at in range(0, SIZE, CHUNK)]
    on_stage = _on_stage(researcher, content)
    for name in missing:
        if name not in on_stage and name != last:
            kept = owner.home / name
            kept.rename(owner.folder / OWNER / "syft_blobs" / name[:2] / name)
    assert len(on_stage) >= 8
    researcher.start()
    arrived = researcher.mirror(OWNER) / "public/scan.bin"
    researcher.wait_for(lambda: same(arrived, content), SECONDS, "the rest of the file", 0.05)


def test_a_sender_that_is_killed_does_not_upload_again_what_is_there(pair: Pair, content: bytes) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("public/scan.bin", content)
    wait_until(lambda: len(chunks(owner.folder)) >= 3, SECONDS, "the first chunks", 0.001)
    owner.kill()
    before = chunks(owner.folder)
    assert not (researcher.mirror(OWNER) / "public/scan.bin").exists()
    owner.start()
    arrived = researcher.mirror(OWNER) / "public/scan.bin"
    researcher.wait_for(lambda: same(arrived, content), SECONDS, "the large file", 0.05)
    after = chunks(owner.folder)
    assert all(after[name] == before[name] for name in before), "a chunk that lay there was written again"


def test_a_proposed_large_file_survives_both_being_killed(pair: Pair, content: bytes) -> None:
    owner, researcher = pair.owner, pair.researcher
    owner.write("joint/a.txt", "a")
    owner.cli("share", "joint", "--with", researcher.email, "--write")
    researcher.sees(OWNER, "joint/a.txt", "a")
    target = researcher.mirror(OWNER) / "joint/big.bin"
    draft = researcher.home / "draft"
    draft.write_bytes(content)
    draft.rename(target)
    wait_until(lambda: len(chunks(owner.folder)) >= 2, SECONDS, "the first chunks", 0.001)
    researcher.kill()
    researcher.start()
    wait_until(lambda: staged(owner) >= 2 * CHUNK or (owner.own / "joint/big.bin").exists(), SECONDS, "a part", 0.001)
    owner.kill()
    owner.start()
    owner.wait_for(lambda: same(owner.own / "joint/big.bin", content), SECONDS, "the large proposal", 0.05)
    researcher.caught_up_with(owner)
    assert same(target, content)
    researcher.wait_for(lambda: _quiet(researcher), SECONDS, "the verdict", 0.2)
    assert researcher.problem("not-taken") is None


def test_a_large_file_that_changes_while_it_is_sent_arrives_in_its_last_version(pair: Pair) -> None:
    owner, researcher = pair.owner, pair.researcher
    versions = [os.urandom(12 * MEBIBYTE) for _ in range(3)]
    for version in versions:
        owner.write("public/moving.bin", version)
        wait_until(lambda: chunks(owner.folder), SECONDS, "a chunk", 0.001)
    arrived = researcher.mirror(OWNER) / "public/moving.bin"
    researcher.wait_for(lambda: same(arrived, versions[-1]), SECONDS, "the last version", 0.05)
    researcher.caught_up_with(owner)
    assert same(arrived, versions[-1])
    # Nothing that was on its way in vain stays behind.
    researcher.wait_for(lambda: staged(researcher) == 0, SECONDS, "the stage to be empty", 0.2)


def _on_stage(one: Daemon, content: bytes) -> set[str]:
    """The digests of those chunks of `content` that are whole in a stage file."""
    found = set()
    for path in (one.data / ".stage").iterdir():
        with path.open("rb") as file:
            for at in range(0, len(content), CHUNK):
                file.seek(at)
                piece = file.read(min(CHUNK, len(content) - at))
                if piece == content[at : at + CHUNK]:
                    found.add(hashlib.sha256(piece).hexdigest())
    return found


def _quiet(one: Daemon) -> bool:
    status = one.cli("status", ok=(0, 3))
    return all(not (peer["to_send"] or peer["to_fetch"] or peer["waiting_verdict"]) for peer in status["peers"])
