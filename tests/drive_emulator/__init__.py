"""A Google Drive v3 service that runs on this machine: a real HTTP server with its state in memory.

Clients talk to it unchanged. `DriveEmulator` starts it inside a test; `python -m tests.drive_emulator` starts it by hand.
Every request and every answer is checked against the discovery document that Google publishes for the service.
"""

from tests.drive_emulator.server import DriveEmulator
from tests.drive_emulator.settings import Settings

__all__ = ["DriveEmulator", "Settings"]
