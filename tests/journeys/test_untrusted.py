"""A shared folder that is not trusted: what everybody may read flows, everything else waits and is told to wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.boxes import carried
from tests.journeys.conftest import OWNER, RESEARCHER, Pair, short_place
from tests.journeys.daemons import CommandFailed, Daemon, befriend

SECONDS = 30.0


class Careful(Daemon):
    """A daemon whose owner does not trust the shared folder."""

    def init(self) -> None:
        """Makes the home with the folder marked as untrusted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.say(
            "init", "--email", self.email, "--data", str(self.data), "--transport", f"folder:{self.folder},untrusted"
        )


@pytest.fixture(scope="module")
def careful() -> Iterator[Pair]:
    """Two peers on an untrusted folder."""
    with (
        short_place() as place,
        Careful(place / "owner", OWNER, place / "mailbox") as owner,
        Careful(place / "researcher", RESEARCHER, place / "mailbox") as researcher,
    ):
        befriend(researcher, owner)
        yield Pair(owner, researcher)


def test_public_files_flow_and_private_ones_stay(careful: Pair) -> None:
    owner, researcher = careful.owner, careful.researcher
    owner.write("public/sample.csv", "for everybody")
    owner.write("results/table.csv", "canary-untrusted")
    owner.cli("share", "results", "--with", RESEARCHER)
    researcher.sees(OWNER, "public/sample.csv", "for everybody")
    owner.took_up("results/table.csv")
    researcher.caught_up_with(owner)
    assert carried(owner.folder, b"canary-untrusted") == []
    assert carried(owner.folder, b"results/table.csv") == []
    assert not (researcher.mirror(OWNER) / "results").exists()
    said = " ".join(owner.cli("why", "results/table.csv")["lines"])
    assert "trusted" in said
    # The next public file is not held up by the private one.
    owner.write("public/second.csv", "also for everybody")
    researcher.sees(OWNER, "public/second.csv", "also for everybody")


def test_a_large_private_file_leaves_no_chunk(careful: Pair) -> None:
    owner, researcher = careful.owner, careful.researcher
    owner.write("results/scan.bin", b"canary-large-untrusted" + bytes(2_000_000))
    owner.took_up("results/scan.bin")
    researcher.caught_up_with(owner)
    assert carried(owner.folder, b"canary-large-untrusted") == []


def test_a_job_is_not_put_there_and_its_author_is_told_why(careful: Pair, tmp_path: Path) -> None:
    owner, researcher = careful.owner, careful.researcher
    job = tmp_path / "job"
    job.mkdir()
    (job / "run.sh").write_text("echo canary-untrusted-job\n")
    try:
        researcher.cli("jobs", "submit", "--to", OWNER, str(job))
    except CommandFailed as failed:
        assert "trusted" in str(failed)
    else:
        problem = researcher.troubled_by("untrusted-folder", OWNER)
        assert "trusted" in problem["text"] + problem["remedy"]
    researcher.caught_up_with(owner)
    assert carried(owner.folder, b"canary-untrusted-job") == []
    assert owner.job("job") is None


def test_when_the_folder_is_trusted_after_all_everything_goes_out(careful: Pair) -> None:
    owner, researcher = careful.owner, careful.researcher
    owner.write("later/a.txt", "waited")
    owner.cli("share", "later", "--with", RESEARCHER)
    owner.took_up("later/a.txt")
    researcher.caught_up_with(owner)
    assert not (researcher.mirror(OWNER) / "later").exists()
    for one in (owner, researcher):
        config = one.home / "config" / "syftd.toml"
        config.write_text(config.read_text().replace("trusted = false\n", "trusted = true\n"))
        one.restart()
    researcher.sees(OWNER, "later/a.txt", "waited")
    researcher.healed_of("untrusted-folder")
    owner.wait_for(lambda: owner.job("job"), SECONDS, "the job that waited", 0.2)
