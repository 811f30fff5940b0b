"""The layers of the configuration, its errors, origins and differences."""

import subprocess
import sys
from pathlib import Path

import pytest

from syftd import config
from syftd.errors import UserError
from syftd.places import Places

GOOD = 'email = "Me@Example.org"\n'


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places.at(tmp_path, {})
    found.config_file.parent.mkdir(parents=True)
    return found


def write(places: Places, text: str) -> Places:
    places.config_file.write_text(text)
    return places


def test_defaults(places: Places) -> None:
    settings = config.load(write(places, GOOD), env={})
    assert settings.email == "me@example.org"
    assert settings.data == places.data_default
    assert settings.datasite == places.data_default / "datasites" / "me@example.org"
    assert (settings.sync.quiet_seconds, settings.sync.poll_seconds, settings.jobs.memory_mb) == (0.5, 5.0, 1024)
    assert settings.transport == ()


def test_the_shipped_file_says_the_true_defaults(places: Places) -> None:
    """Every commented value of the template, uncommented, is the default it claims to be."""
    import re

    text = (Path(config.__file__).parent.parent / "config" / "syftd.toml").read_text()
    bare = config.load(write(places, text), env={})
    spoken = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert spoken.count("\nworkers = ") == 1 and spoken.count("\nconcurrency = ") == 1
    assert config.difference(bare, config.load(write(places, spoken), env={})).changed == ()
    keys = {one.key for one in config.values(places, env={}) if "." in one.key}
    assert keys == {one.key for one in config.values(places, env={}) if one.origin != "default" and "." in one.key}


def test_flags_over_environment_over_file_over_default(places: Places) -> None:
    write(places, GOOD + "[sync]\npoll_seconds = 6\nworkers = 2\n[log]\nlevel = 'debug'\n")
    env = {"SYFTD_SYNC__POLL_SECONDS": "7", "SYFTD_JOBS__PIDS": "9", "SYFTD_HOME": "/elsewhere"}
    found = {one.key: one for one in config.values(places, {"log.level": "error"}, env)}
    assert (found["sync.poll_seconds"].value, found["sync.poll_seconds"].origin) == (7.0, "SYFTD_SYNC__POLL_SECONDS")
    assert (found["sync.workers"].value, found["sync.workers"].origin) == (2, str(places.config_file))
    assert (found["log.level"].value, found["log.level"].origin) == ("error", "flag")
    assert (found["jobs.pids"].value, found["jobs.log_kb"].origin) == (9, "default")


def test_transports_in_order(places: Places) -> None:
    first = '[[transport]]\nkind="folder"\nname="lan"\npath="/a"\ntrusted=true\n'
    second = '[[transport]]\nkind="folder"\npath="~/b"\npeers=["Bob@x.org"]'
    one, two = config.load(write(places, GOOD + first + second), env={}).transport
    assert (one.name, one.path, one.trusted, one.peers) == ("lan", Path("/a"), True, ())
    assert (two.name, two.path, two.trusted, two.peers) == ("folder", Path.home() / "b", False, ("bob@x.org",))


def test_google_drive_and_what_it_may_carry(places: Places) -> None:
    mine = '[[transport]]\nkind="gdrive"\n'
    ours = '[[transport]]\nkind="gdrive"\nname="ours"\ndrive_id="0A"\n'
    theirs = '[[transport]]\nkind="gdrive"\nname="theirs"\ndrive_id="0B"\ntrusted=true\n'
    found = config.load(write(places, GOOD + mine + ours + theirs), env={}).transport
    assert [(one.name, one.drive_id, one.carries_private, one.quota_share) for one in found] == [
        ("gdrive", "", True, 0.5), ("ours", "0A", False, 0.5), ("theirs", "0B", True, 0.5)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says", "remedy"),
    [
        ("emial = 'x'", "“emial” is not a setting", "email"),
        (GOOD + "[sync]\npol_seconds = 1", "“sync.pol_seconds” is not a setting", "sync.poll_seconds"),
        (GOOD + "poll_seconds = 1", "“poll_seconds” is not a setting", "sync.poll_seconds"),
        (GOOD + "[[transport]]\nkind='folder'\npaht='/x'", "“paht” is not a setting of a transport", "path"),
        (GOOD + "[[transport]]\nkind='folder'\npath='x'", "“x” is not absolute", "~/"),
        (GOOD + "[[transport]]\nkind='pigeon'\npath='/x'", "transport[1].kind", ""),
        (GOOD + "[[transport]]\nkind='folder'", "transport[1].path", ""),
        (GOOD + "[[transport]]\nkind='gdrive'\npath='/x'", "of kind “gdrive” has no “path”", "folder"),
        (GOOD + "[[transport]]\nkind='folder'\npath='/x'\ndrive_id='a'", "of kind “folder” has no “drive_id”", "gdrive"),
        (GOOD + "[[transport]]\nkind='gdrive'\ntrusted=true", "“trusted” is for folders", "two parties"),
        (GOOD + "[[transport]]\nkind='gdrive'\ndrive_id='a b'", "not the id of a shared drive", "browser"),
        (GOOD + "[[transport]]\nkind='gdrive'\nquota_share=2", "quota_share", ""),
        (GOOD + "[[transport]]\nkind='gdrive'\ndrive_endpoint='http://evil.example'", "not an address", "https"),
        (GOOD + "[[transport]]\nkind='gdrive'\nname='../x'", "cannot be the name", "letters"),
        (GOOD + "transport = 3", "“transport” is a list", "[[transport]]"),
        (GOOD + "[[transport]]\npath='/x'\nkind='folder'\n" * 2, "two transports are called “folder”", "name"),
        (GOOD + "[sync]\nworkers = 0", "“sync.workers”", ""),
        (GOOD + "[sync]\npoll_seconds = nan", "“sync.poll_seconds”", ""),
        (GOOD + "[jobs]\nmemory_mb = 'lots'", "found 'lots'", ""),
        (GOOD + "sync = 1", "“sync” is a section", "[sync]"),
        ("email = 'nobody'", "not an e-mail address", "name@example.org"),
        ("data = '/x'", "“email” is missing", "email ="),
        ("email = ", "not valid TOML", ""),
    ],
)
def test_errors_name_the_file_the_key_and_the_cure(places: Places, text: str, says: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        config.load(write(places, text), env={})
    assert says in str(caught.value) and remedy in caught.value.remedy
    assert str(places.config_file) in str(caught.value)


def test_every_wrong_value_is_told_at_once(places: Places) -> None:
    with pytest.raises(UserError) as caught:
        config.load(write(places, GOOD + "[sync]\nworkers = 0\n[jobs]\npids = 0"), env={})
    assert "sync.workers" in str(caught.value) and "jobs.pids" in str(caught.value)


def test_a_wrong_variable_is_named(places: Places) -> None:
    write(places, GOOD)
    with pytest.raises(UserError, match="SYFTD_SYNC__POL_SECONDS") as caught:
        config.load(places, env={"SYFTD_SYNC__POL_SECONDS": "1"})
    assert "SYFTD_SYNC__POLL_SECONDS" in caught.value.remedy
    with pytest.raises(UserError, match="SYFTD_EMIAL"):
        config.load(places, env={"SYFTD_EMIAL": "a@b.c"})
    with pytest.raises(UserError, match=r"SYFTD_JOBS__PIDS: “jobs\.pids”"):
        config.load(places, env={"SYFTD_JOBS__PIDS": "many"})
    assert config.load(places, env={"SYFTD_BENCH_FOLDER": "theirs"}).email == "me@example.org"


def test_no_file_says_init(places: Places) -> None:
    with pytest.raises(UserError) as caught:
        config.load(places, env={})
    assert "syftd init" in caught.value.remedy


def test_the_environment_alone_is_enough(places: Places) -> None:
    assert config.load(places, env={"SYFTD_EMAIL": "a@b.org", "SYFTD_DATA": "/d"}).data == Path("/d")


def test_difference_tells_what_needs_a_restart(places: Places) -> None:
    old = config.load(write(places, GOOD), env={})
    new = config.load(
        write(places, GOOD + "[sync]\npoll_seconds=9\nworkers=2\n[[transport]]\nkind='folder'\npath='/x'"), env={}
    )
    found = config.difference(old, new)
    assert {"sync.poll_seconds", "sync.workers", "transport[1].path"} <= set(found.changed)
    assert "sync.poll_seconds" not in found.restart
    assert {"sync.workers", "transport[1].path"} <= set(found.restart)
    assert config.difference(old, old) == config.Difference((), ())


def test_a_glance_agrees_with_the_whole(places: Places) -> None:
    write(places, GOOD + "data = '~/there'")
    seen, whole = config.glance(places, {}), config.load(places, env={})
    assert (seen.email, seen.data) == (whole.email, whole.data)


def test_importing_does_not_load_the_checker() -> None:
    code = "import sys, syftd.config; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
