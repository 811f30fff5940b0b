"""Broken variants: the production code with one deliberate defect each. A simulator that does not notice is worth nothing.

Each variant is a function that breaks something by assignment and returns nothing; `broken` puts everything back.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from syftd.daemon.engine import Engine
from syftd.errors import Stale
from syftd.jobs import freeze as freezing
from syftd.jobs import run as running
from syftd.jobs.outcome import Outcome
from syftd.plan.own import plan_tellings
from syftd.state import files, messages
from syftd.sync import own as own_tree
from syftd.sync import publish as publishing
from syftd.sync.apply import Apply
from syftd.sync.decide import Decide
from syftd.sync.follow import Follow
from syftd.sync.inbox import Inbox
from syftd.sync.look import Look
from syftd.sync.outbox import Outbox
from syftd.sync.own import OwnTree
from syftd.sync.publish import Publish
from syftd.sync.verdicts import Verdicts
from syftd.tree import place
from syftd.tree.durability import Unsynced
from syftd.tree.place import Place
from syftd.tree.stat import Stat

FIRST = 10_000
"""The first seed that a variant is run with."""

_undo: list[tuple[Any, str, Any]] = []


def _set(owner: Any, name: str, value: Any) -> None:
    _undo.append((owner, name, getattr(owner, name)))
    setattr(owner, name, value)


@contextmanager
def broken(name: str) -> Iterator[None]:
    """The world with one defect."""
    VARIANTS[name]()
    try:
        yield
    finally:
        while _undo:
            owner, attribute, value = _undo.pop()
            setattr(owner, attribute, value)


# -- the twelve of the engine's thumbnail ------------------------------------------------------------------------------


def no_dedupe() -> None:
    """A message that comes again takes effect again."""
    _set(messages, "decided", lambda *_: None)


def ack_before_commit() -> None:
    """A message is taken from the transport as soon as it was read."""
    fetch = Inbox._fetch

    def fetching(self: Inbox, sender: Any, ref: Any) -> Any:
        letter = fetch(self, sender, ref)
        self._parts.router.remove([ref])
        return letter

    _set(Inbox, "_fetch", fetching)


def base_from_index() -> None:
    """A proposal is compared with what was last accepted, not with what is on the disk."""

    def now(self: Apply, path: Any) -> Any:
        row = files.get(self._parts.db, self._parts.me, path)
        return (row.sha256 if row else None), self._parts.disk.stat(self._parts.me, row.spelling if row else path)

    _set(Apply, "now", now)
    _set(place, "_check", lambda parent, name, where, expected, known: _as_it_is(parent, name))


def _as_it_is(parent: int, name: str) -> Stat | None:
    found = place.facts.look(parent, name)
    return None if found is None else place.facts.of(found)


def cursor_is_the_highest_seen() -> None:
    """A reader takes whatever number comes, and forgets about those between."""
    _set(Follow, "_voided", lambda self, owner, position: set(range(1, position.sequence)))


def outbox_in_memory() -> None:
    """What was to be sent is gone after a restart."""
    start = Engine.start

    def starting(self: Engine) -> None:
        self.parts.db.run("DELETE FROM outbox WHERE state = 'due'")
        start(self)

    _set(Engine, "start", starting)


def stale_without_a_word() -> None:
    """A stale proposal gets no verdict."""
    give = Verdicts.give

    def giving(self: Verdicts, proposal: Any, outcome: Any, reason: str, current: Any = ()) -> None:
        if outcome != "stale":
            give(self, proposal, outcome, reason, current)

    _set(Verdicts, "give", giving)


def garbage_stays() -> None:
    """A message that cannot be read is tried for ever."""
    _set(Inbox, "quarantine", lambda self, letter, error, verdict="malformed": self.retry(letter))


def no_retract() -> None:
    """What a reader may no longer read is not taken back."""

    def telling(paths: Any, accepted: Any, may_see: Any, shown: Any) -> Any:
        return [item for item in plan_tellings(paths, accepted, may_see, shown) if item.after or item.path not in accepted]

    _set(publishing, "plan_tellings", telling)


def no_intent_recovery() -> None:
    """What was accepted before a crash is not carried out after it."""
    _set(Apply, "recover", lambda self: [])
    _set(messages, "intended", lambda *_: False)


def sender_from_the_body() -> None:
    """Who sent a proposal is read from the proposal."""
    take = Decide.take

    def taking(self: Decide, letter: Any) -> Any:
        box = replace(letter.ref.box, peer=letter.message.sender)
        return take(self, replace(letter, ref=replace(letter.ref, box=box)))

    _set(Decide, "take", taking)


def permission_edges() -> None:
    """A changed permission concerns only files that change afterwards."""
    _set(Publish, "rules_changed", lambda self, directory: None)


def tells_the_proposer_only() -> None:
    """What a peer changed is told to that peer alone."""
    commit = Apply._commit

    def committing(self: Apply, proposal: Any, ending: Any) -> None:
        publish: Any = self._publish

        def dirty(paths: Any, also: Any = None) -> None:
            for path in paths if also in publish._pending else ():
                publish._look_at(also, path)

        publish.dirty = dirty
        try:
            commit(self, proposal, ending)
        finally:
            del publish.dirty

    _set(Apply, "_commit", committing)


# -- ours --------------------------------------------------------------------------------------------------------------


def no_fsync() -> None:
    """Nothing is synchronised before it is said to be done."""
    _set(Unsynced, "flush", lambda self: self.close())


def no_directory_fsync() -> None:
    """Contents are synchronised, names are not."""
    _set(Unsynced, "changed", lambda self, directory: None)


def racy_rule_off() -> None:
    """An equal observation always means an unchanged file."""
    _set(Stat, "settled", lambda self, hashed_at_ns, granularity_ns: True)


def verdict_before_effect() -> None:
    """A proposal is said to be applied before it is."""
    carry_out = Apply.carry_out

    def carrying(self: Apply, proposal: Any, found: Any, large: Any) -> Any:
        self._verdicts.give(proposal, "applied", "")
        return carry_out(self, proposal, found, large)

    _set(Apply, "carry_out", carrying)


def cursor_by_clock() -> None:
    """A reader takes envelopes by their date and not by their number."""
    latest: dict[Any, float] = {}
    in_order = Follow._in_order

    def ordering(self: Follow, letter: Any, owner: Any, events: Any, position: Any) -> Any:
        key = (id(self), owner)
        if events.made_at <= latest.get(key, 0.0):
            self._done(letter, "duplicate")
            return True
        latest[key] = events.made_at
        return in_order(self, letter, owner, events, position)

    _set(Follow, "_in_order", ordering)
    _set(Follow, "_voided", lambda self, owner, position: set(range(1, position.sequence)))


def window_cap_off() -> None:
    """However much lies unread, more is written."""
    _set(Publish, "_window_open", lambda self, reader: True)


def loser_not_kept() -> None:
    """What is replaced is gone."""
    put_over = Place._put_over

    def putting(self: Place, parent: int, name: str, scratch: Any, checked: Any) -> str:
        id = put_over(self, parent, name, scratch, checked)
        place.os.unlink(f"{id.rpartition('/')[2]}/{name}", dir_fd=self._trash.today)
        return id

    _set(Place, "_put_over", putting)


def no_last_look() -> None:
    """A file is replaced without looking at it once more."""
    _set(place, "_check", lambda parent, name, where, expected, known: _as_it_is(parent, name))


def exchange_not_looked_at() -> None:
    """What was exchanged is not compared with what was to be exchanged."""
    _set(place, "_same", lambda found, checked: True)


def everybody_may_write() -> None:
    """The rules are not asked about proposals."""
    _set(Decide, "_allowed", lambda self, proposal: None)


def guard_off() -> None:
    """However much is deleted at once, nobody is asked."""
    _set(own_tree, "judge_deletions", lambda deleted, count, limit: None)


def approval_by_name() -> None:
    """What runs is what lies in the job's folder, not what was approved."""
    freeze = freezing.freeze

    def freezes(*words: Any) -> None:
        try:
            freeze(*words)
        except Stale:
            return

    _set(running, "freeze", freezes)


def releases_by_default() -> None:
    """Results leave without a word."""
    _set(
        Outcome,
        "_promised",
        lambda self, job: job.state in ("done", "failed") and self._parts.result_folder(job) is not None,
    )


def taken_back_and_sent() -> None:
    """A message that was taken back while it waited is sent all the same."""
    _set(Outbox, "recall", lambda self, row: None)
    _set(Publish, "_judge_unread", lambda self, reader, row, pending: None)


def gaps_are_not_asked_about() -> None:
    """A reader waits for a number that never comes."""
    _set(Follow, "heal", lambda self: None)
    _set(Follow, "ask_anew", lambda self, owner, paths=None: None)


def scan_that_ends_silently() -> None:
    """A finding that cannot be looked at any more ends the scan without starting the next."""
    found = Look.found

    def finding(self: Look, work: Any) -> None:
        for item in work.findings.seen if work.findings else ():
            if item.stat is not None:
                self._parts.disk.stat(work.site, item.spelling)
        found(self, work)

    _set(Look, "found", finding)


def rules_from_the_start_only() -> None:
    """A permission file that is edited is in force after the next start."""
    compiled = OwnTree._compile

    seen: set[tuple[int, str]] = set()

    def once(self: OwnTree, path: Any) -> None:
        if (id(self), path) not in seen:
            seen.add((id(self), path))
            compiled(self, path)

    _set(OwnTree, "_compile", once)


VARIANTS: dict[str, Callable[[], None]] = {
    variant.__name__: variant
    for variant in (
        no_dedupe, ack_before_commit, base_from_index, cursor_is_the_highest_seen, outbox_in_memory, stale_without_a_word,
        garbage_stays, no_retract, no_intent_recovery, sender_from_the_body, permission_edges, tells_the_proposer_only,
        no_fsync, no_directory_fsync, racy_rule_off, verdict_before_effect, cursor_by_clock, window_cap_off,
        loser_not_kept, no_last_look, exchange_not_looked_at, everybody_may_write, guard_off, approval_by_name,
        releases_by_default, taken_back_and_sent, gaps_are_not_asked_about, scan_that_ends_silently,
        rules_from_the_start_only,
    )
}  # fmt: skip


RARELY = frozenset({
    "base_from_index", "no_intent_recovery", "racy_rule_off", "no_last_look", "exchange_not_looked_at", "guard_off",
    "taken_back_and_sent", "scan_that_ends_silently",
})  # fmt: skip
"""Variants that take hundreds of seeds to be noticed, since they need one moment in thousands; `make sim-variants` says
how often. Unit tests and the crash at every seam look at the same safeguards one by one."""


def caught(name: str, seeds: int, *, enough: int | None = None) -> tuple[int, int, Counter[str]]:
    """Runs a variant; returns how many seeds were run, how many failed, and by which invariants. Stops after `enough`."""
    from tests.sim import telling

    telling.quiet()
    by: Counter[str] = Counter()
    run = 0
    with broken(name):
        for seed in range(FIRST, FIRST + seeds):
            told = telling.tell(seed)
            run += 1
            if told.broken is not None:
                by[told.broken] += 1
                if enough is not None and by.total() >= enough:
                    break
    return run, by.total(), by


def _row(name: str, seeds: int) -> tuple[str, int, int, Counter[str]]:
    return name, *caught(name, seeds)


def report(names: Sequence[str], seeds: int, workers: int = os.cpu_count() or 1) -> int:
    """Prints the table of the variants (of all, when none is named); returns 1 when one survives all its seeds."""
    names = names or list(VARIANTS)
    survivors = []
    print(f"{'variant':30} {'seeds':>6} {'caught':>7}  {'by'}")
    with ProcessPoolExecutor(workers) as pool:
        for name, run, failed, by in pool.map(_row, names, [seeds] * len(names)):
            words = ", ".join(f"{invariant} {count}" for invariant, count in by.most_common())
            print(f"{name:30} {run:6} {failed / run:6.0%}  {words}", flush=True)
            if not failed:
                survivors.append(name)
    print(f"variants={len(names)} survivors={len(survivors)} {' '.join(survivors)}".rstrip())
    return 1 if survivors else 0
