"""`why PATH`: in sentences, why a file is, or is not, where a person expects it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syftd.api import why_readers
from syftd.api.access_view import Rules, hidden
from syftd.api.folder import Folder
from syftd.jobs.parts import INBOX, REVIEW
from syftd.names import Digest, Email
from syftd.state import contacts, files, jobs, overview, problems, streams
from syftd.state.db import Db
from syftd.tree.stat import Stat
from syftd.wire.submission import time_text

if TYPE_CHECKING:
    from syftd.api.live import Live
    from syftd.config import TransportSettings


class Why:
    """One answer in the making: `lines` are the sentences, in the order in which they help."""

    def __init__(
        self, db: Db, me: Email, sites: Folder, live: Live | None, transports: tuple[TransportSettings, ...]
    ) -> None:
        self._db = db
        self._me = me
        self._sites = sites
        self._live = live
        self._transports = transports
        self.lines: list[str] = []

    def answer(self, site: Email, path: str) -> dict[str, Any]:
        """{path, site, lines, readers: [{email, allowed, shown, rule}], problems}."""
        readers: list[dict[str, Any]] = []
        if site == self._me:
            readers = self._mine(path)
        else:
            self._mirrored(site, path)
        job = self._job(site, path)
        self._trash(site, path)
        self._standstill()
        troubles = self._troubles(site, path, job, [reader["email"] for reader in readers])
        for trouble in troubles:
            self.lines.append(f"Problem: {trouble['text']} {trouble['remedy']}".rstrip())
        return {"path": path or ".", "site": site, "lines": self.lines, "readers": readers, "problems": troubles}

    # -- my own datasite -------------------------------------------------------------------------------------------

    def _mine(self, path: str) -> list[dict[str, Any]]:
        self.lines.append(f"It belongs to your datasite, {self._me}.")
        rules = Rules(self._db, self._me, self._sites, path)
        row = files.get(self._db, self._me, path) if path else None
        stat = self._here(self._me, path, row)
        if rules.hidden is not None:
            self.lines.append(f"It never travels: {rules.hidden}.")
        if rules.is_directory:
            count = overview.files_below(self._db, self._me, path)
            self.lines.append(f"{count} files below it are accepted, that is: known to syftd as they are.")
        else:
            self._accepted(path, row, stat, rules.hidden)
        for name, reason in rules.broken.items():
            self.lines.append(f"{name} cannot be used: {reason}. Nobody but you can read or write below it.")
        readers = why_readers.readers(self._db, rules, row, self._live, self._transports)
        if not readers:
            self.lines.append("You have no accepted peer, so nobody is told of it.")
        self.lines.extend(reader.pop("line") for reader in readers)
        return readers

    def _accepted(self, path: str, row: files.FileRow | None, stat: Stat | None, unseen: str | None) -> None:
        event = overview.newest_event(self._db, path)
        halt = problems.halt_on(self._db, "own", self._me)
        if row is not None:
            said = f", by {event.by} at {time_text(event.at)}" if event is not None else ""
            self.lines.append(f"Last accepted: sha256 {row.sha256[:12]}…, {row.size:,} bytes{said}.")
            if halt is not None and path in halt.paths:
                self.lines.append(
                    f"Its deletion is told to nobody before you say so: `syftd confirm {halt.id}` or"
                    f" `syftd reject {halt.id}`."
                )
            elif stat is None and unseen is None:
                self.lines.append("It is gone from the disk, which will be taken in as a deletion.")
            elif stat is not None and stat != _stat(row) and unseen is None:
                self.lines.append("The file was touched since; it is looked at again as soon as it is left alone.")
        elif event is not None and event.sha256 is None:
            self.lines.append(f"It was deleted by {event.by} at {time_text(event.at)}.")
        elif stat is not None and unseen is None:
            busy = self._live is not None and self._live.scanning
            self.lines.append("Not accepted yet: " + ("a scan is going on." if busy else "it has not been looked at."))

    def _here(self, site: Email, path: str, row: files.FileRow | None) -> Stat | None:
        """Says what stands at the path now, and returns the observation of an ordinary file."""
        place = f"{site}/{row.spelling if row else path}" if path else str(site)
        kind = self._sites.kind(place)
        stat = self._sites.stat(place) if kind == "file" else None
        if stat is not None:
            self.lines.append(f"On this disk it is a file of {stat.size:,} bytes.")
        elif kind == "symlink":
            self.lines.append("On this disk it is a symbolic link; links are never followed, shared or replaced.")
        elif kind == "special":
            self.lines.append("On this disk it is neither file nor folder, so it is never shared.")
        elif kind == "directory":
            self.lines.append("On this disk it is a folder.")
        else:
            self.lines.append("Nothing is there on this disk.")
        return stat

    # -- a peer's datasite -----------------------------------------------------------------------------------------

    def _mirrored(self, site: Email, path: str) -> None:
        self.lines.append(f"It belongs to the datasite of {site}; what you have is a copy of what they show you.")
        peer = contacts.get(self._db, site)
        if peer is None or peer.state != "accepted":
            state = "is not a peer of yours" if peer is None or peer.state == "removed" else f"is {peer.state}"
            self.lines.append(f"{site} {state}, so nothing comes or goes: `syftd peers list`.")
        else:
            self._stream(site)
        told = streams.told(self._db, site, path) if path else None
        row = files.get(self._db, site, path) if path else None
        stat = self._here(site, path, row)
        if self._sites.kind(f"{site}/{path}" if path else site) == "directory":
            count, placed = overview.told_below(self._db, site, path)
            self.lines.append(f"{site} has told {count} files below it; {placed} of them are in place.")
            return
        draft = streams.draft(self._db, site, path)
        if told is None:
            self.lines.append(f"{site} shows you no such file: there is none, or you may not read it.")
        else:
            self.lines.append(f"{site} told: sha256 {told.sha256[:12]}…, {told.size:,} bytes.")
        if draft is not None:
            self._draft(site, draft)
        elif told is not None:
            self._in_place(site, path, told, row, stat)
        elif stat is not None and row is None:
            reason = hidden(self._sites, site, path, directory=False)
            said = f"it never travels, since {reason}" if reason else f"it is proposed to {site} when it is left alone"
            self.lines.append(f"The file is yours: {said}.")
        halt = problems.halt_on(self._db, "mirror", site)
        if halt is not None and path in halt.paths:
            self.lines.append(
                f"{site} removed it; it stays here before you say so: `syftd confirm {halt.id}` or"
                f" `syftd reject {halt.id}`."
            )

    def _stream(self, site: Email) -> None:
        stream = streams.stream(self._db, site)
        if stream is None:
            self.lines.append(f"Nothing has arrived from {site} yet.")
        elif stream.gap_since is not None:
            since = time_text(stream.gap_since)
            times = f"it has been asked for {stream.asked} times"
            self.lines.append(f"A message from {site} is missing since {since}; {times}.")
        elif not stream.completed:
            self.lines.append(f"{site} has not told everything yet; more is on its way.")

    def _draft(self, site: Email, draft: streams.Draft) -> None:
        what = "deletion" if draft.after is None else f"version (sha256 {draft.after[:12]}…)"
        line = f"Your {what} of {time_text(draft.at)} waits for the word of {site}"
        letter = overview.proposal(self._db, site, draft.message)
        if letter is None:
            line += "; they have the message."
        elif letter.state == "sent":
            line += f"; the message lies on {letter.transport}, unread."
        else:
            line += f"; the message is not sent yet{f': {letter.error}' if letter.error else ''}."
        self.lines.append(line)

    def _in_place(
        self, site: Email, path: str, told: streams.Told, row: files.FileRow | None, stat: Stat | None
    ) -> None:
        base: Digest | None = row.sha256 if row is not None else None
        touched = stat is not None and (row is None or stat != _stat(row))
        if base == told.sha256 and stat is not None and not touched:
            self.lines.append("What is here is what they told: up to date.")
        elif base == told.sha256:
            how = "removed it here" if stat is None else "touched it here"
            self.lines.append(f"You {how}; if it differs, that is proposed to {site} when it is left alone.")
        elif told.chunks is not None:
            pulls = self._live.downloads if self._live is not None else []
            pull = next((one for one in pulls if one.get("from") == site and one.get("size") == told.size), None)
            part = f"{pull['done']:,} of {told.size:,} bytes are here" if pull else "it is fetched chunk by chunk"
            self.lines.append(f"Their content is large and not in place yet: {part}.")
        else:
            self.lines.append("Their content is not in place yet; if it was lost it is asked for again.")

    # -- both ------------------------------------------------------------------------------------------------------

    def _job(self, site: Email, path: str) -> list[str]:
        """Says which job the path is part of; returns the job's id."""
        kind = next((kind for kind in (INBOX, REVIEW) if path.startswith(kind + "/")), None)
        pieces = path[len(kind) + 1 :].split("/") if kind is not None else []
        if len(pieces) < 2:
            return []
        job = jobs.get(self._db, jobs.job_id(site, pieces[0], pieces[1]))
        if job is None:
            self.lines.append("It lies where jobs lie, but no job of that name is known.")
            return []
        reason = f" ({job.reason})" if job.reason else ""
        line = f"It is part of the job {job.id}, which is {job.state}{reason}: `syftd jobs show {job.id}`."
        self.lines.append(line)
        ended = job.state in ("done", "failed")
        if kind == REVIEW and site == self._me and ended and not job.facts.get("released"):
            self.lines.append(f"Nothing of its results is released: `syftd jobs release {job.id}`.")
        return [job.id]

    def _trash(self, site: Email, path: str) -> None:
        called = path if site == self._me else f"datasites/{site}/{path}"
        for entry in problems.trash_of(self._db, site, path)[:1] if path else ():
            self.lines.append(
                f"A version of {entry.size:,} bytes is in the trash since {time_text(entry.at)} ({entry.why});"
                f" `syftd restore {called}` brings it back."
            )

    def _standstill(self) -> None:
        if self._live is None:
            self.lines.append("syftd is not running, so nothing moves: `syftd run`, or `syftd service install`.")
        elif self._live.safe_mode:
            self.lines.append("syftd is in safe mode: nothing is applied, sent or run.")
        elif self._live.paused:
            self.lines.append("syftd is paused: nothing is sent or fetched until `syftd resume`.")

    def _troubles(
        self, site: Email, path: str, job: list[str], readers: list[Email]
    ) -> list[dict[str, Any]]:
        """The problems that concern the path: its own, those of a folder above it, and those of whom it goes to or
        comes from."""
        about = {path, f"{site}/{path}", *job, *(f"{reader}:{path}" for reader in readers)}
        above = path
        while above and site == self._me:
            above = above.rpartition("/")[0]
            about.add(above or ".")
        people: set[str] = {*readers, site}
        found = []
        for problem in problems.problems(self._db):
            subject, kind = problem["subject"], problem["kind"]
            if subject in about or (subject in people and kind != "halted"):
                found.append({**problem, "since": time_text(problem["since"])})
        return found


def _stat(row: files.FileRow) -> Stat:
    return Stat(row.size, row.mtime_ns, row.ctime_ns, row.inode, row.executable)
