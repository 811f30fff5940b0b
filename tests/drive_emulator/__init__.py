"""A Google Drive v3 service that runs on this machine: a real HTTP server with its state in memory.

Clients talk to it unchanged. `DriveEmulator` starts it inside a test; `python -m tests.drive_emulator` starts it by hand.
Every request and every answer is checked against the discovery document that Google publishes for the service.

What it leaves out, and refuses rather than imitates: revisions, comments, labels, approvals, shortcuts, Docs Editors files,
permissions of groups and domains, moving things into or out of shared drives, and the narrower scopes (every sign-in has
the whole of Drive). Where Google documents nothing, it takes the reading that is harder on clients: a listing may lag,
names repeat, `name contains` finds more than it should, and a second grant to the same person replaces the first.
"""

from tests.drive_emulator.server import DriveEmulator
from tests.drive_emulator.settings import Settings

__all__ = ["DriveEmulator", "Settings"]
