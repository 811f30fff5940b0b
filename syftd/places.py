"""Where one instance keeps its things: configuration, state, cache, runtime files, logs and the default data folder.

With a home (``--home`` or ``SYFTD_HOME``) everything lies under that one directory, so that several instances can live
beside each other; without one the platform's own places are used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from syftd.errors import UserError

APP = "syftd"
AUTHOR = "openmined"
CONFIG_NAME = "syftd.toml"
HOME_VARIABLE = "SYFTD_HOME"


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one instance. Losing `cache` and `runtime` costs nothing; losing `state` costs the keys."""

    config_file: Path
    state: Path
    cache: Path
    runtime: Path
    log: Path
    data_default: Path
    home: Path | None = None
    """The directory everything lies under, None when the platform's places are used."""

    @classmethod
    def at(cls, home: Path | None = None, env: Mapping[str, str] | None = None) -> Places:
        """The places under `home`, else under ``SYFTD_HOME`` of `env` (default: the process's), else the platform's."""
        environment = os.environ if env is None else env
        if home is None and environment.get(HOME_VARIABLE):
            home = Path(environment[HOME_VARIABLE])
        if home is not None:
            top = Path(os.path.abspath(home.expanduser()))
            return cls(
                config_file=top / "config" / CONFIG_NAME,
                state=top / "state",
                cache=top / "cache",
                runtime=top / "run",
                log=top / "log",
                data_default=top / "SyftBox",
                home=top,
            )
        import platformdirs

        state = platformdirs.user_state_path(APP, AUTHOR)
        return cls(
            config_file=platformdirs.user_config_path(APP, AUTHOR) / CONFIG_NAME,
            state=state,
            cache=platformdirs.user_cache_path(APP, AUTHOR),
            runtime=_runtime(environment, state),
            log=platformdirs.user_log_path(APP, AUTHOR),
            data_default=Path.home() / "SyftBox",
        )

    @property
    def socket(self) -> Path:
        """The local API's socket."""
        return self.runtime / "syftd.sock"

    @property
    def log_file(self) -> Path:
        """Our own log file, written only when the configuration asks for it."""
        return self.log / "syftd.log"

    def ensure(self) -> None:
        """Creates every directory with mode 0700; raises UserError for one that is a link or somebody else's.

        The runtime directory may lie in a place that others can write to, so an existing one is never trusted unseen.
        """
        for directory in (self.config_file.parent, self.state, self.cache, self.runtime, self.log):
            make_private(directory)


def _runtime(env: Mapping[str, str], state: Path) -> Path:
    """Where the socket lies: the session's own directory, else (no session: cron, a container) inside `state`.

    Never below /tmp, where somebody else could be first. A command from cron must find the daemon of the session, so
    the session's directory is looked for even when the variable is missing.
    """
    for given in (env.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if given and os.path.isabs(given) and os.access(given, os.W_OK):
            return Path(given) / APP
    return state / "run"


def make_private(directory: Path) -> None:
    """Creates `directory` (and parents) with mode 0700, or makes an existing one of ours private."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(directory)
    except OSError as error:
        raise UserError(
            f"cannot create the directory {directory}: {error.strerror}",
            "Make it writable for you, or choose another place with --home DIR.",
        ) from error
    if stat.S_ISLNK(found.st_mode) and found.st_uid == os.getuid():
        found = os.stat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(
            f"{directory} is not a directory of yours",
            "Somebody else made it. Remove it, or choose another place with --home DIR.",
        )
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)
