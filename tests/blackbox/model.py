"""Which observations a person may make, told without looking into a daemon.

The style is that of Hughes, Pierce, Arts and Norell, "Mysteries of Dropbox" (2016): a test only writes, reads, deletes
and waits; what the daemons do meanwhile is conjectured. For one file the checker keeps every state in which the system
may be. Between two observations anything may happen that the documentation promises, in any order:

- *up*: a reader's change, made from the value that it had last from the owner, sets out as a proposal;
- *decide*: the owner takes a proposal whose base is what lies there, and turns down any other;
- *tell*: the owner's present value sets out to every reader;
- *down*: the next thing on its way arrives at a reader: a value, or the answer to its proposal. A reader's change that
  another value overtakes, or that was turned down, goes to the trash, and the owner's value takes its place;
- *fill*: when the owner's value is not at hand after a change was turned down, there is no file until it comes; what
  somebody writes into that hole was made from nothing, and is overtaken by it.

An observation keeps those states in which it is true. When none is left, nobody can explain what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

Value = int | None
"""What a file holds: every write has a number of its own; None is no file."""

OWNER = 0
"""The owner's place among the nodes; the readers are 1, 2, …"""

MOST_STATES = 300_000


@dataclass(frozen=True, slots=True)
class Told:
    """A value of the owner's on its way."""

    value: Value


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer "applied" on its way to who proposed `value`."""

    value: Value


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """The answer "stale" on its way."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader's side. `local` lies there; `base` is what the owner said last; `sent` is the open proposal as (base,
    value); `coming` is on its way to here, in order; `hole`: the owner's value is still to be put here."""

    local: Value = None
    base: Value = None
    sent: tuple[Value, Value] | None = None
    coming: tuple[Told | Taken | TurnedDown, ...] = ()
    hole: bool = False

    @property
    def at_rest(self) -> bool:
        return self.local == self.base and self.sent is None and not self.coming and not self.hole


@dataclass(frozen=True, slots=True)
class State:
    """One file everywhere. `owner` lies at the owner's; `told` is the value that was told last."""

    owner: Value
    told: Value
    readers: tuple[Reader, ...]

    @property
    def at_rest(self) -> bool:
        return self.owner == self.told and all(reader.at_rest and reader.base == self.owner for reader in self.readers)

    def at(self, node: int) -> Value:
        return self.owner if node == OWNER else self.readers[node - 1].local

    def put(self, node: int, value: Value) -> State:
        if node == OWNER:
            return replace(self, owner=value)
        return self._with(node - 1, replace(self.readers[node - 1], local=value))

    def _with(self, which: int, reader: Reader) -> State:
        return replace(self, readers=(*self.readers[:which], reader, *self.readers[which + 1 :]))

    def after(self) -> Iterator[State]:
        """Every state that one conjectured event leads to."""
        if self.owner != self.told:
            yield self._tell(self.owner, except_for=None)
        for which, reader in enumerate(self.readers):
            if reader.hole:
                yield self._with(which, replace(reader, local=reader.base, hole=False))
            elif reader.local != reader.base and reader.sent is None:
                yield self._with(which, replace(reader, sent=(reader.base, reader.local)))
            if reader.sent is not None and not any(not isinstance(item, Told) for item in reader.coming):
                yield self._decide(which, reader, *reader.sent)
            for after in _down(reader):
                yield self._with(which, after)

    def _decide(self, which: int, reader: Reader, base: Value, value: Value) -> State:
        if self.owner not in (base, value):
            return self._with(which, replace(reader, coming=(*reader.coming, TurnedDown())))
        taken = self._with(which, replace(reader, coming=(*reader.coming, Taken(value))))
        return replace(taken, owner=value)._tell(value, except_for=which)

    def _tell(self, value: Value, *, except_for: int | None) -> State:
        readers = tuple(
            reader if which == except_for else replace(reader, coming=(*reader.coming, Told(value)))
            for which, reader in enumerate(self.readers)
        )
        return State(self.owner, value, readers)


def _down(reader: Reader) -> Iterator[Reader]:
    if not reader.coming:
        return
    item, coming = reader.coming[0], reader.coming[1:]
    match item:
        case Taken(value):
            yield replace(reader, base=value, sent=None, coming=coming)
        case TurnedDown():
            # Whatever lies there now has lost; the owner's value takes its place, at once or when it is at hand.
            yield replace(reader, local=reader.base, sent=None, coming=coming)
            # Only a value that was put here long ago may be wanting; what was told since came with its content.
            told_since = reader.sent is None or reader.sent[0] != reader.base
            if reader.base is not None and reader.local != reader.base and not told_since:
                # A deletion that was turned down leaves no hole: until the file is back it may be asked for again.
                yield replace(reader, local=None, sent=None, coming=coming, hole=reader.local is not None)
        case Told(value):
            overtaken = reader.sent is None and (reader.local == reader.base or reader.base != value)
            local = value if overtaken and not reader.hole else reader.local
            yield replace(reader, local=local, base=value, coming=coming)


class Unexplained(AssertionError):
    """No history of the system leads to what was observed."""


@dataclass
class File:
    """What is known of one file: the states in which it may be, and what became of every value that was written."""

    readers: int
    states: set[State] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    """Values since the last rest that somebody still has to account for."""
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rest(None)

    def _rest(self, value: Value) -> None:
        self.states = {State(value, value, (Reader(value, value),) * self.readers)}
        self.written = {value} if value is not None else set()

    def read(self, node: int, seen: Value) -> None:
        """A person looked at the file at a node and saw this."""
        self._observe(f"node {node} reads {seen}", node, seen)

    def write(self, node: int, value: Value, seen: Value) -> None:
        """A person put `value` there (None: deleted it) in place of `seen`, in one step."""
        self._observe(f"node {node} writes {value} over {seen}", node, seen)
        self.states = {state.put(node, value) for state in self.states}
        # Who overwrites what they see has decided about it.
        self.written.discard(seen) if seen is not None else None
        if value is not None:
            self.written.add(value)

    def stabilize(self, seen: list[Value], kept: set[int]) -> None:
        """The daemons have come to rest; every node shows this, and `kept` lies in somebody's trash or history."""
        self.story.append(f"at rest: {seen}")
        if len(set(seen)) != 1:
            raise Unexplained(self._told("the nodes do not agree"))
        value = seen[0]
        if not any(state.at_rest and state.owner == value for state in self._closed()):
            raise Unexplained(self._told(f"{value} cannot be what everybody ends with"))
        lost = {each for each in self.written if each != value} - kept
        if lost:
            raise Unexplained(self._told(f"{sorted(lost)} lie nowhere, and nobody replaced them knowingly"))
        self._rest(value)

    def _observe(self, line: str, node: int, seen: Value) -> None:
        self.story.append(line)
        self.states = {state for state in self._closed() if state.at(node) == seen}
        if not self.states:
            raise Unexplained(self._told("this cannot have been seen"))

    def _closed(self) -> set[State]:
        return closed(self.states)

    def _told(self, what: str) -> str:
        return what + ":\n  " + "\n  ".join(self.story[-30:])


def closed(states: Iterable[State]) -> set[State]:
    """These states and all that any number of conjectured events lead to."""
    found = set(states)
    fresh = list(found)
    while fresh:
        for state in fresh.pop().after():
            if state not in found:
                found.add(state)
                fresh.append(state)
        if len(found) > MOST_STATES:
            raise RuntimeError("more histories than can be looked through; let the daemons come to rest more often")
    return found
