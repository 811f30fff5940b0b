"""The error tree. Every error says what happened, to what, and what to do next.

SyftdError                     title · remedy · exit code
├─ UserError            2      bad command, config, path or peer; printed without a trace
├─ ItemError                   one path, message or job is affected; everything else goes on
│  ├─ Stale                    the base of a proposal is no longer what is on disk
│  ├─ Denied                   the rules do not allow it
│  ├─ Malformed                bytes from a peer that break the format or a limit
│  ├─ Forged                   a body that claims another sender than its channel
│  ├─ TooLarge                 over a size limit
│  ├─ NameClash                two names that this disk or the key form cannot tell apart
│  ├─ InMotion                 the file changed while it was read; look again later
│  └─ ContentMissing           the bytes of a digest are not (yet) at hand
├─ TransportError              moving bytes failed
│  ├─ Transient                try again with back-off
│  ├─ Quota                    try again after ``after`` seconds
│  ├─ AuthNeeded               a person must log in again
│  ├─ Gone                     the object or box does not exist (any more)
│  ├─ Exists                   the name is taken by other bytes
│  ├─ Refused                  this transport may not carry it (private content on an untrusted folder)
│  └─ Permanent                trying again cannot help
└─ ServiceError                the daemon as a whole is affected
   ├─ LockHeld         11      another daemon serves this datasite
   ├─ StateCorrupt     12      the database cannot be used and not be rebuilt
   ├─ DiskFull         13      nothing more fits where we must write
   │  └─ DiskReadOnly          nothing can be written there at all, for now
   ├─ Unfinished               an accepted change cannot be carried on now; it is taken up again
   ├─ RootMissing      14      the data folder vanished or is not the one we know
   ├─ Halted           15      a plan waits for a person
   └─ NotRunning        4      a command needs the daemon and it does not answer

Anything else is a bug: counted, logged with its trace, exit code 70, never swallowed.
"""

from __future__ import annotations

__all__ = [
    "AuthNeeded", "ContentMissing", "Denied", "DiskFull", "DiskReadOnly", "Exists", "Forged", "Gone", "Halted", "InMotion",
    "ItemError", "LockHeld", "Malformed", "NameClash", "NotRunning", "Permanent", "Quota", "Refused", "RootMissing",
    "ServiceError", "Stale", "StateCorrupt", "SyftdError", "TooLarge", "Transient", "TransportError", "Unfinished",
    "UserError",
]  # fmt: skip


class SyftdError(Exception):
    """An error for people: ``str(e)`` says what happened; ``remedy`` says what to do next ('' when nothing helps)."""

    exit_code = 70

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


class UserError(SyftdError):
    """The command, the configuration or an argument is wrong."""

    exit_code = 2


class ItemError(SyftdError):
    """One path, message or job is affected; the service goes on."""


class Stale(ItemError):
    """The base of a proposal is not what is on disk now."""


class Denied(ItemError):
    """The rules do not allow it."""


class Malformed(ItemError):
    """Bytes that break the format or one of its limits."""


class Forged(ItemError):
    """A body that names another sender than the channel it came through."""


class TooLarge(ItemError):
    """Over a size limit."""


class NameClash(ItemError):
    """Two names that fall together by case or Unicode form, or a name this disk cannot hold."""


class InMotion(ItemError):
    """The file changed while it was read."""


class ContentMissing(ItemError):
    """The bytes of a digest are not at hand."""


class TransportError(SyftdError):
    """Moving bytes failed."""


class Transient(TransportError):
    """Try again with back-off."""


class Quota(TransportError):
    """Try again after ``after`` seconds."""

    def __init__(self, text: str, remedy: str = "", *, after: float = 60.0) -> None:
        super().__init__(text, remedy)
        self.after = after


class AuthNeeded(TransportError):
    """A person must log in again."""


class Gone(TransportError):
    """The object or box does not exist, or not any more."""


class Exists(TransportError):
    """The name is taken by other bytes."""


class Refused(TransportError):
    """This transport may not carry that content."""


class Permanent(TransportError):
    """Trying again cannot help."""


class ServiceError(SyftdError):
    """The daemon as a whole is affected."""


class LockHeld(ServiceError):
    """Another daemon serves this datasite."""

    exit_code = 11


class StateCorrupt(ServiceError):
    """The database cannot be used."""

    exit_code = 12


class DiskFull(ServiceError):
    """No space is left where we must write."""

    exit_code = 13


class DiskReadOnly(DiskFull):
    """The disk takes nothing at all: it is mounted read-only. As with a full one, what was to be written waits."""


class Unfinished(ServiceError):
    """Something that was accepted cannot be carried to its end now, and must not be left half done."""


class RootMissing(ServiceError):
    """The data folder vanished or is not the one we know."""

    exit_code = 14


class Halted(ServiceError):
    """A plan waits for a person's word."""

    exit_code = 15


class NotRunning(ServiceError):
    """The daemon does not answer."""

    exit_code = 4
