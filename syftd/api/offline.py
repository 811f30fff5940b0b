"""What commands read by themselves when no daemon runs: its database, and where messages would travel."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syftd.errors import StateCorrupt, UserError
from syftd.names import Email
from syftd.state.db import MIGRATIONS, Db, in_memory, open_reader

if TYPE_CHECKING:
    from syftd.config import TransportSettings
    from syftd.places import Places

DATABASE: Final = "state.db"


def unreadable(path: Path, error: sqlite3.Error) -> StateCorrupt:
    """What to tell people about a database that SQLite cannot read."""
    return StateCorrupt(f"the database {path} cannot be read: {error}", "Run `syftd doctor`.")


def opened(path: Path) -> Db:
    """The daemon's database, for reading beside it; an empty one while there is none."""
    if not path.exists():
        return in_memory()
    try:
        db = open_reader(path)
        version = db.value("PRAGMA user_version")
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    known = len(list(MIGRATIONS.glob("[0-9]*.sql")))
    if version == known:
        return db
    db.close()
    if version > known:
        raise StateCorrupt(f"the database {path} was written by a newer syftd", "Install the newer syftd again.")
    if version == 0:
        return in_memory()  # The daemon is about to fill it for the first time.
    text = f"the database {path} was left by an older syftd"
    raise UserError(text, "Start the daemon once; it brings the database up to date.")


def transports_written(places: Places) -> tuple[TransportSettings, ...]:
    """The transports in the configuration file, for a status line that is made without checking the whole of it.

    What is not written as it should be is left out here; `syftd config show` and `syftd doctor` say what is wrong.
    """
    import tomllib

    from syftd.config import TransportSettings

    try:
        blocks = tomllib.loads(places.config_file.read_text(encoding="utf-8")).get("transport", [])
    except (FileNotFoundError, ValueError):
        return ()
    found = []
    for block in blocks if isinstance(blocks, list) else []:
        if isinstance(block, dict) and block.get("kind") == "folder":
            peers = tuple(Email(str(peer).strip().lower()) for peer in block.get("peers") or ())
            name, trusted = str(block.get("name", "folder")), block.get("trusted") is True
            found.append(TransportSettings("folder", Path(str(block.get("path", ""))), name, trusted, peers))
        elif isinstance(block, dict) and block.get("kind") == "gdrive":
            peers = tuple(Email(str(peer).strip().lower()) for peer in block.get("peers") or ())
            name, shared = str(block.get("name", "gdrive")), str(block.get("drive_id", ""))
            trusted = block.get("trusted") is True
            found.append(TransportSettings("gdrive", name=name, trusted=trusted, peers=peers, drive_id=shared))
    return tuple(found)
