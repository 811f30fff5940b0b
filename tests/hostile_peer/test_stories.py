"""What takes Eve more than one object: others' folders, repeats, wrong order, floods, jobs, content that never comes."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syftd.names import Digest, Email
from syftd.sync.parts import Tuning
from syftd.transport import layout, mailbox
from syftd.wire import names as wire_names
from syftd.wire.messages import CHUNK_BYTES
from tests.hostile_peer.eve import Eve, uid_of
from tests.hostile_peer.rows import ANN_SITE, MIB, bomb, hundred_megabytes
from tests.hostile_peer.scene import SECONDS, TURN, Scene, gone
from tests.journeys.conftest import OWNER
from tests.unit.wire import forge

BIG = 2000
"""Objects of a flood: some sixty turns."""


def own(scene: Scene, path: str) -> str:
    """How `untouched` names a file of the owner's."""
    return f"datasites/{scene.owner.email}/{path}"


def one_more(scene: Scene) -> tuple[Path, dict[str, str]]:
    """An honest proposal of Eve's, which must be taken whatever came before it; and what it adds."""
    path, content = f"lab/story-{scene.rounds}.txt", f"story {scene.rounds}"
    return scene.eve.propose(scene.eve.change(path, content)), {own(scene, path): Digest.of(content.encode())}


# -- what is no message, and what is no box of hers ----------------------------------------------------------------------


def _named(eve: Eve, kind: str) -> Path:
    """Where an object with the name of a proposal would lie."""
    return eve.inbox / {
        "proposal": wire_names.proposal_name(eve.now(), str(uuid.uuid4())),
        "an unknown kind": f"msgv9_{eve.now()}_{uuid.uuid4()}.tar.gz",
        "no time": f"msgv2_now_{uuid.uuid4()}.tar.gz",
        "an id that is a path": "msgv2_5.5_..%2f..%2f.tar.gz",
        "a hidden name": f".msgv2_{eve.now()}_{uuid.uuid4()}.tar.gz",
        "a very long name": "msgv2_" + "9" * 180 + ".tar.gz",
    }[kind]


def _link_to_a_secret(eve: Eve) -> Path:
    path = _named(eve, "proposal")
    path.symlink_to("/etc/passwd")
    return path


def _pipe(eve: Eve) -> Path:
    path = _named(eve, "proposal")
    os.mkfifo(path)
    return path


def _folder(eve: Eve) -> Path:
    path = _named(eve, "proposal")
    path.mkdir()
    return path


def _bytes_named(kind: str) -> Callable[[Eve], Path]:
    def send(eve: Eve) -> Path:
        path = _named(eve, kind)
        path.write_bytes(forge.packed(eve.proposal(eve.change("lab/odd.txt"))[1]))
        return path

    return send


def _undecodable(eve: Eve) -> Path:
    path = Path(os.fsdecode(os.fsencode(eve.inbox) + b"/msgv2_5.5_\xff\xfe.tar.gz"))
    path.write_bytes(b"x")
    return path


OBJECTS: dict[str, Callable[[Eve], Path]] = {
    "a symbolic link": _link_to_a_secret,
    "a pipe that nobody writes into": _pipe,
    "a folder": _folder,
    "a name that is no Unicode": _undecodable,
    **{kind: _bytes_named(kind) for kind in
       ("an unknown kind", "no time", "an id that is a path", "a hidden name", "a very long name")},
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_no_message_is_left_alone(scene: Scene, name: str) -> None:
    before = scene.untouched()
    with scene.at_once():
        odd = OBJECTS[name](scene.eve)
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    assert os.path.lexists(odd)
    assert [line for line in scene.since() if line[1] == "quarantined"] == []
    assert scene.untouched() == before | added
    scene.in_bounds()
    shutil.rmtree(odd) if odd.is_dir() and not odd.is_symlink() else odd.unlink()


def test_a_file_of_a_hundred_gigabytes_is_refused_by_its_size(scene: Scene) -> None:
    before = scene.untouched()
    with scene.at_once():
        huge = _named(scene.eve, "proposal")
        with huge.open("wb") as file:
            file.truncate(100 * 1024 * MIB)  # It has holes only, and takes no room.
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(huge), "too_large")
    assert "over the limit" in (scene.quarantined(huge) or "")
    scene.is_told(uid_of(following), "applied")
    assert scene.untouched() == before | added
    scene.in_bounds()


ZOE = "zoe@nowhere.example"


def _box_name(datasite: str, kind: Any, peer: str) -> str:
    return layout.folder_name(mailbox.Box(kind, Email(datasite), Email(peer)))


@pytest.mark.parametrize(
    "name",
    [_box_name(OWNER, "inbox", ANN_SITE), _box_name(OWNER, "inbox", ZOE), _box_name(ZOE, "outbox", OWNER)],
    ids=["of another peer", "of a stranger who asks", "of a stranger who tells"],
)
def test_a_box_in_eves_folder_that_names_another_is_no_box(scene: Scene, name: str) -> None:
    """Whoever is named in a folder's name and does not own the folder has asked for nothing and sent nothing."""
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        box = eve.root / eve.email / name
        box.mkdir()
        for sender in (ANN_SITE, ZOE, eve.email):
            named, message = eve.proposal(eve.change("lab/x.txt"), eve.change("joint/x.txt"), sender_email=sender)
            eve.drop(box, named, forge.packed(message))
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    assert len(list(box.iterdir())) == 3
    assert {peer["email"] for peer in scene.owner.cli("peers", "list")} == {ANN_SITE, scene.ben.email, eve.email}
    assert scene.untouched() == before | added
    assert not (scene.owner.own / "joint/x.txt").exists()
    scene.in_bounds()
    shutil.rmtree(box)


def test_a_person_who_is_a_link_to_eves_folder_is_nobody(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    link = eve.root / ZOE
    with scene.at_once():
        link.symlink_to(eve.root / eve.email)
        (eve.root / eve.email / _box_name(OWNER, "inbox", ZOE)).mkdir()
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    assert ZOE not in {peer["email"] for peer in scene.owner.cli("peers", "list")}
    assert scene.untouched() == before | added
    link.unlink()
    (eve.root / eve.email / _box_name(OWNER, "inbox", ZOE)).rmdir()


def test_two_boxes_for_the_same_are_both_read(scene: Scene) -> None:
    """Another release of the network's client may have made its own; the messages in both are hers."""
    eve, before = scene.eve, scene.untouched()
    second = eve.root / eve.email / _box_name(OWNER, "inbox", eve.email).replace(layout.NETWORK_VERSION, "0.1.116")
    with scene.at_once():
        second.mkdir()
        name, message = eve.proposal(eve.change("lab/from-the-second.txt", "second"))
        other = eve.drop(second, name, forge.packed(message))
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(other), "applied")
    scene.is_told(uid_of(following), "applied")
    assert scene.untouched() == before | added | {own(scene, "lab/from-the-second.txt"): Digest.of(b"second")}
    scene.wait(lambda: gone(other), "the object in the second box to be taken")
    second.rmdir()


# -- once, and in order --------------------------------------------------------------------------------------------------


def versions(scene: Scene, path: str) -> list[str | None]:
    """What the owner's history has for a path, in order."""
    return [row[0] for row in scene.ask("SELECT sha256 FROM event WHERE path = ? ORDER BY seq", path)]


def test_a_message_that_comes_again_has_its_effect_once(scene: Scene) -> None:
    eve = scene.eve
    with scene.at_once():
        name, message = eve.proposal(eve.change("lab/once.txt", "once"))
        first = eve.drop(eve.inbox, name, forge.packed(message))
    scene.good_arrives()
    scene.is_told(uid_of(first), "applied")
    scene.wait(lambda: gone(first), "the message to be taken away")
    scene.owner.write("lab/once.txt", "the owner goes on")
    scene.owner.took_up("lab/once.txt")
    scene.wait(lambda: len(versions(scene, "lab/once.txt")) == 2, "the owner's edit")
    before = scene.untouched()
    with scene.at_once():
        same = eve.drop(eve.inbox, name, forge.packed(message))
        # The same id under other names, with the same and with other bytes: an id is used once.
        later = eve.drop(eve.inbox, wire_names.proposal_name(eve.now(), uid_of(first)), forge.packed(message))
        _, bent = eve.proposal(eve.change("lab/other.txt", "smuggled"), uid=uid_of(first))
        smuggled = eve.drop(eve.inbox, wire_names.proposal_name(eve.now(), uid_of(first)), forge.packed(bent))
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    scene.wait(lambda: gone(same) and gone(later) and gone(smuggled), "the repeats to be taken away")
    assert scene.untouched() == before | added
    assert versions(scene, "lab/once.txt") == [Digest.of(b"once"), Digest.of(b"the owner goes on")]
    scene.in_bounds()


def test_a_chain_that_comes_in_the_wrong_order_gets_one_verdict_each(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    one, two, three = (f"chain {number}" for number in (1, 2, 3))
    hashes = {text: str(Digest.of(text.encode())) for text in (one, two, three)}
    with scene.at_once():
        early = eve.now()
        later = [early + number / 1000 for number in range(1, 4)]
        last = eve.propose(eve.change("lab/chain.txt", three, old_hash=hashes[two]), at=later[0])
        middle = eve.propose(eve.change("lab/chain.txt", two, old_hash=hashes[one]), at=later[1])
        first = eve.propose(eve.change("lab/chain.txt", one), at=later[2])
    scene.good_arrives()
    scene.is_told(uid_of(last), "stale")
    scene.is_told(uid_of(middle), "stale")
    scene.is_told(uid_of(first), "applied")
    assert scene.untouched() == before | {own(scene, "lab/chain.txt"): hashes[one]}


def test_two_proposals_from_one_base_cannot_both_be_right(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        first = eve.propose(eve.change("lab/race.txt", "first"))
        second = eve.propose(eve.change("lab/race.txt", "second"))
    scene.good_arrives()
    scene.is_told(uid_of(first), "applied")
    scene.is_told(uid_of(second), "stale")
    assert scene.untouched() == before | {own(scene, "lab/race.txt"): Digest.of(b"first")}


def test_a_deletion_with_the_right_base_is_done_and_can_be_undone(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        removal = eve.propose(eve.change("lab/third.txt", None, is_deleted=True, old_hash=str(Digest.of(b"third"))))
    scene.good_arrives()
    scene.is_told(uid_of(removal), "applied")
    del before[own(scene, "lab/third.txt")]
    assert scene.untouched() == before
    assert b"third" in scene.owner.trash()


def test_an_owners_stream_in_the_wrong_order_is_put_in_order(scene: Scene) -> None:
    eve = scene.eve
    with scene.at_once():
        at = [eve.now() for _ in range(4)]
        written = [eve.envelope(eve.told_change("order.txt", f"order {n}"), at=at[3 - n]) for n in range(4)]
    scene.good_arrives()
    scene.owner.sees(eve.email, "order.txt", "order 3")
    scene.wait(lambda: all(gone(path) for path in written), "the stream to be read")
    scene.in_bounds()


@pytest.mark.parametrize("jump", [2, 2**52])
def test_a_stream_with_a_hole_waits_and_goes_on_when_it_begins_anew(scene: Scene, jump: int) -> None:
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        far = eve.envelope(eve.told_change("far.txt", "too early"), sequence=eve.sequence + jump)
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    asked = eve.asked_anew
    scene.wait(lambda: (eve.read(), eve.asked_anew > asked)[1], "the owner to ask for the stream anew")
    assert scene.owner.problem("gap", eve.email) is not None
    assert scene.untouched() == before | added
    eve.begin_anew()
    written = eve.envelope(eve.told_change("public/eve.txt", "eve"), eve.told_change("healed.txt", f"healed {jump}"))
    scene.owner.sees(eve.email, "healed.txt", f"healed {jump}")
    scene.wait(lambda: gone(written) and gone(far), "both to be taken away")
    scene.owner.healed_of("gap", eve.email)
    assert not (scene.owner.mirror(eve.email) / "far.txt").exists()
    scene.in_bounds()


def test_a_stream_that_does_not_continue_what_was_sent_before_is_not_followed(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    asked = eve.asked_anew
    with scene.at_once():
        right, eve.previous = eve.previous, str(forge.DIGEST_X)
        bad = eve.envelope(eve.told_change("rewritten.txt", "history, rewritten"), sequence=eve.sequence + 1)
        eve.previous = right
    scene.good_arrives()
    scene.wait(lambda: scene.quarantined(bad), "the envelope to be set aside")
    assert "does not continue" in (scene.quarantined(bad) or "")
    scene.wait(lambda: (eve.read(), eve.asked_anew > asked)[1], "the owner to ask for the stream anew")
    assert scene.untouched() == before


def test_an_old_stream_that_is_played_again_changes_nothing(scene: Scene) -> None:
    eve = scene.eve
    old = (eve.epoch, eve.sequence, eve.previous)
    first = eve.envelope(eve.told_change("replayed.txt", "as it was"))
    scene.owner.sees(eve.email, "replayed.txt", "as it was")
    eve.begin_anew()
    eve.envelope(eve.told_change("public/eve.txt", "eve"), eve.told_change("replayed.txt", "as it is"))
    scene.owner.sees(eve.email, "replayed.txt", "as it is")
    before = scene.untouched()
    fresh = (eve.epoch, eve.sequence, eve.previous)
    with scene.at_once():
        eve.epoch, eve.sequence, eve.previous = old
        again = eve.envelope(eve.told_change("replayed.txt", "as it was, again"))
        eve.epoch, eve.sequence, eve.previous = fresh
        following = eve.envelope(eve.told_change("replay-after.txt", "goes on"))
    scene.good_arrives()
    scene.owner.sees(eve.email, "replay-after.txt", "goes on")
    scene.wait(lambda: gone(first) and gone(again) and gone(following), "all to be taken away")
    assert scene.untouched() == before | {f"datasites/{eve.email}/replay-after.txt": Digest.of(b"goes on")}


# -- contents ------------------------------------------------------------------------------------------------------------

CONTENTS = {
    "empty.txt": b"",
    "crlf.txt": b"a\r\nb\r\n",
    "latin.txt": "Grüße".encode("latin-1"),
    "binary.bin": bytes(range(256)) * 40,
    "a/b/c/d/e/nested.txt": b"deep",
    "blank name .txt": b"blank",
    "Ü/ñ/日本.txt": b"letters of all kinds",
    "sharp#and=plus+.txt": b"signs",
    "x" * 255: b"a long name",
}


DOTTED = {".dotted": b"dot", ".folder/file": b"in a dotted folder", "folder/.dotted": b"dot below"}


def _written(content: bytes) -> dict[str, Any]:
    return {"content": base64.b64encode(content).decode(), "content_type": "binary"}


def test_contents_of_all_kinds_arrive_byte_for_byte(scene: Scene) -> None:
    eve = scene.eve
    with scene.at_once():
        proposed = eve.propose(*(eve.change(f"lab/kinds/{path}") | _written(CONTENTS[path]) for path in CONTENTS))
        eve.envelope(*(eve.told_change(f"kinds/{path}") | _written(CONTENTS[path]) for path in CONTENTS))
    scene.good_arrives()
    scene.is_told(uid_of(proposed), "applied")
    for path, content in CONTENTS.items():
        scene.owner.holds(f"lab/kinds/{path}", content)
        scene.owner.sees(eve.email, f"kinds/{path}", content)
    scene.in_bounds()


@pytest.mark.parametrize("path", DOTTED)
def test_a_dot_named_file_is_refused_by_name_and_arrives_in_a_mirror(scene: Scene, path: str) -> None:
    """The network's `**` does not mean names that begin with a dot, so the right to write there is no right to them."""
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        proposed = eve.propose(eve.change(f"lab/{path}") | _written(DOTTED[path]))
        eve.envelope(eve.told_change(path) | _written(DOTTED[path]))
    scene.good_arrives()
    scene.is_told(uid_of(proposed), "denied")
    assert scene.decided(uid_of(proposed)) == ("denied", f"no write permission for lab/{path}")
    scene.owner.sees(eve.email, path, DOTTED[path])
    assert {key for key in scene.untouched() if key not in before and eve.email not in key} == set()
    scene.in_bounds()


def test_large_content_that_never_comes_holds_up_nothing(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    missing = [str(Digest.of(f"chunk {number}".encode())) for number in range(2)]
    blob = {"size": CHUNK_BYTES + 5, "chunks": missing}
    with scene.at_once():
        waits = eve.propose(eve.change("lab/large.bin", None, new_hash=forge.DIGEST_X, syftd={"blob": blob}))
        eve.envelope(eve.told_change("large.bin", None, new_hash=forge.DIGEST_X, syftd={"blob": blob}))
        following, added = one_more(scene)
        told = eve.envelope(eve.told_change("beside.txt", "beside"))
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    scene.owner.sees(eve.email, "beside.txt", "beside")
    scene.owner.troubled_by("cannot-fetch", eve.email)
    assert scene.decided(uid_of(waits)) is None
    assert scene.untouched() == before | added | {f"datasites/{eve.email}/beside.txt": Digest.of(b"beside")}
    # Chunks of other bytes than announced are no chunks; the file does not appear.
    for digest in missing:
        shard = eve.root / eve.email / layout.BLOBS_FOLDER / digest[:2]
        shard.mkdir(parents=True, exist_ok=True)
        (shard / digest).write_bytes(bytes(CHUNK_BYTES))
    with scene.at_once():
        another, more = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(another), "applied")
    scene.wait(lambda: gone(told), "what is small to be taken away")
    after = scene.untouched()
    assert after == before | added | more | {f"datasites/{eve.email}/beside.txt": Digest.of(b"beside")}
    scene.in_bounds()


@pytest.mark.parametrize("name", ["garbage", "nothing", "a hundred megabytes", "a link", "gone"])
def test_a_version_file_that_cannot_be_read_is_never_taken_for_an_empty_one(scene: Scene, name: str) -> None:
    """What Eve understands is remembered from before: she is still told her verdicts."""
    eve, before = scene.eve, scene.untouched()
    profile = eve.root / eve.email / layout.PROFILE_NAME
    right = profile.read_bytes()
    with scene.at_once():
        profile.unlink()
        if name == "a link":
            profile.symlink_to("/etc/passwd")
        elif name != "gone":
            profile.write_bytes({"garbage": b"\0\xff{", "nothing": b""}.get(name) or b"[" * 100_000_000)
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    with scene.at_once():
        another, more = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(another), "applied")
    assert scene.untouched() == before | added | more
    scene.in_bounds()
    profile.unlink(missing_ok=True)
    profile.write_bytes(right)


# -- jobs ----------------------------------------------------------------------------------------------------------------

ODD_NAMES = [
    "*", "[a-z]?", "a b", "-rf", "$(touch canary-ran)", "`touch canary-ran`", "a;touch canary-ran", "|&<>", "'\"", "~", "x..y",
    "Ü日本", "%2e%2e%2f", "{{.UserEmail}}", "y" * 200,
]  # fmt: skip


def _job_of(scene: Scene, name: str) -> dict[str, Any] | None:
    return next((job for job in scene.owner.cli("jobs", "list") if job["name"] == name and job["from"] == scene.eve.email), None)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_job_of_any_name_is_the_folder_it_lies_in_and_nothing_else(scene: Scene, name: str) -> None:
    eve, before = scene.eve, scene.untouched()
    config = (
        "name: ../../../../canary-name\nsubmitted_by: " + ANN_SITE + "\nentrypoint: '; touch canary-ran'\n"
        "dependencies: ['numpy; touch canary-ran', '--index-url=http://127.0.0.1:9/', '$(touch canary-ran)']\n"
    )
    with scene.at_once():
        sent = eve.submit(name, run_sh="echo canary\n", config_yaml=config)
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(sent), "applied")
    scene.is_told(uid_of(following), "applied")
    job = scene.wait(lambda: _job_of(scene, name), "the job to be shown")
    assert (job["state"], job["name"], job["from"]) == ("pending", name, eve.email)
    assert scene.owner.cli("jobs", "show", job["id"])["state"] == "pending"
    new = set(scene.untouched().items()) - set((before | added).items())
    inbox, shown = own(scene, f"app_data/job/inbox/{eve.email}/{name}"), f"inbox/{eve.email}/{name}"
    beside = {path for path, _ in new if not path.startswith((inbox, shown)) and not path.endswith("state.yaml")}
    review = own(scene, f"app_data/job/review/{eve.email}")
    assert {path for path in beside if not (review == path or path.startswith(f"{review}/{name}"))} <= {f"inbox/{eve.email}"}
    assert list(scene.place.rglob("canary-*")) == []
    scene.owner.cli("jobs", "deny", job["id"], "--reason", "odd")
    scene.in_bounds()


def test_files_swapped_after_the_approval_and_a_name_used_again_go_back_to_review(scene: Scene) -> None:
    eve, owner = scene.eve, scene.owner
    folder = f"app_data/job/inbox/{eve.email}"
    # The first job keeps the only place busy, so that the second one waits, approved.
    spin = "while [ ! -e stop ]; do read -t 0.2 x < /dev/zero || :; done\n"
    eve.submit("busy", run_sh=spin)
    eve.submit("swapped", run_sh="echo harmless > outputs/a.txt\n")
    jobs = {name: scene.wait(lambda name=name: _job_of(scene, name), name)["id"] for name in ("busy", "swapped")}  # type: ignore[misc]
    owner.cli("jobs", "approve", jobs["busy"])
    scene.wait(lambda: owner.cli("jobs", "show", jobs["busy"])["state"] == "running", "the first job to run")
    owner.cli("jobs", "approve", jobs["swapped"], "--release")
    old = str(Digest.of(b"echo harmless > outputs/a.txt\n"))
    with scene.at_once():
        swap = eve.propose(eve.change(f"{folder}/swapped/run.sh", "echo canary-swapped > outputs/a.txt\n", old_hash=old))
    scene.good_arrives()
    scene.is_told(uid_of(swap), "applied")
    back = scene.wait(lambda: (found := owner.cli("jobs", "show", jobs["swapped"]))["state"] == "pending" and found, "review")
    assert "changed after it was approved" in back["reason"]
    owner.cli("jobs", "cancel", jobs["busy"])
    scene.wait(lambda: owner.cli("jobs", "show", jobs["busy"])["state"] == "failed", "the first job to end")
    # With the place free again nothing of it runs: what was approved is not there, and what is there was not approved.
    third = eve.submit("third", run_sh="echo third > outputs/a.txt\n")
    scene.is_told(uid_of(third), "applied")
    id = scene.wait(lambda: _job_of(scene, "third"), "the third job")["id"]
    owner.cli("jobs", "approve", id)
    scene.wait(lambda: owner.cli("jobs", "show", id)["state"] == "done", "the third job to run")
    assert owner.cli("jobs", "show", jobs["swapped"])["state"] == "pending"
    # The same name once more, after it was done: other bytes are another job to look at.
    with scene.at_once():
        again = eve.propose(
            eve.change(
                f"{folder}/third/run.sh", "echo canary-again > outputs/a.txt\n",
                old_hash=str(Digest.of(b"echo third > outputs/a.txt\n")),
            )
        )  # fmt: skip
    scene.good_arrives()
    scene.is_told(uid_of(again), "applied")
    scene.wait(lambda: owner.cli("jobs", "show", id)["state"] == "pending", "the third job to be looked at anew")
    started = [facts["job"] for _, kind, _, facts in scene.record() if kind == "started"]
    assert sorted(started) == ["busy", "third"]
    scene.in_bounds()


# -- more than anybody needs ---------------------------------------------------------------------------------------------


def test_thousands_of_garbage_objects_delay_nobody_by_more_than_a_turn(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    early = eve.now() - 1000
    with scene.at_once():
        # Written before everything else, as their names say, so that an inbox by age alone would take them first.
        flood = [eve.raw(os.urandom(40), at=early + number / 1000) for number in range(BIG)]
    scene.good_arrives()
    scene.wait(lambda: all(gone(path) for path in flood), "the flood to end")
    aside = [facts["name"] for _, kind, _, facts in scene.since() if kind == "quarantined"]
    assert sorted(aside) == sorted(path.name for path in flood)
    assert len(aside) > 2 * TURN, "a flood of two turns could not show that others are let in"
    assert scene.untouched() == before
    scene.in_bounds()
    with scene.at_once():
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    assert scene.untouched() == before | added


def test_the_worst_objects_all_at_once_keep_within_memory(scene: Scene) -> None:
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        bad = [eve.raw(bomb()) for _ in range(8)] + [eve.raw_events(bomb()) for _ in range(8)]
        bad += [eve.raw(hundred_megabytes())]
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    scene.wait(lambda: all(gone(path) for path in bad), "all of it to be taken away")
    assert scene.untouched() == before | added
    scene.in_bounds()


def test_a_message_of_the_largest_size_that_is_wrong_in_its_last_word_keeps_within_memory(scene: Scene) -> None:
    """It passes every limit, and only when all of it is decoded does the digest turn out to be another."""
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        bad = [
            eve.propose(eve.change("lab/large.bin", new_hash=forge.DIGEST_X) | _written(os.urandom(29 * MIB))),
            eve.propose(eve.change("lab/large.txt", os.urandom(15 * MIB).hex(), new_hash=forge.DIGEST_X)),
            eve.envelope(eve.told_change("large.bin", new_hash=forge.DIGEST_X) | _written(os.urandom(29 * MIB)), sequence=1),
        ]
        following, added = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    scene.wait(lambda: all(gone(path) for path in bad), "all of it to be taken away")
    assert all("does not have the digest" in (scene.quarantined(path) or "") for path in bad)
    assert scene.untouched() == before | added
    scene.in_bounds()


def test_a_peer_who_never_reads_is_sent_a_bounded_number_of_messages(scene: Scene) -> None:
    eve, owner = scene.eve, scene.owner
    for number in range(120):
        owner.write("readonly/changing.txt", f"version {number}")
        owner.wait_for(
            lambda number=number: versions(scene, "readonly/changing.txt")[-1:] == [Digest.of(f"version {number}".encode())],  # type: ignore[misc]
            SECONDS, "the edit to be taken up", 0.01,
        )  # fmt: skip
    lying = len(list(eve.told.glob("syfteventsmessagev3_*")))
    assert 0 < lying <= Tuning().window_messages
    with scene.at_once():
        following, _ = one_more(scene)
    scene.good_arrives()
    scene.is_told(uid_of(following), "applied")
    scene.in_bounds()


def test_a_peer_whose_folder_is_gone_is_the_trouble_of_that_peer_alone(scene: Scene) -> None:
    """The last act: nothing of Eve's can be done afterwards."""
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        shutil.rmtree(eve.root / eve.email)
        shutil.rmtree(eve.outbox)
    scene.good_arrives()
    scene.owner.write("readonly/later.txt", "for nobody")
    scene.owner.troubled_by("cannot-send", eve.email)
    with scene.at_once():
        pass
    scene.good_arrives()
    assert scene.untouched() == before | {own(scene, "readonly/later.txt"): Digest.of(b"for nobody")}
    scene.in_bounds()
