"""The process behind `syftd run`: the daemon, with the local API as its door."""

from __future__ import annotations

import gc
from concurrent.futures import TimeoutError as NoAnswer

from syftd.api.calls import answer
from syftd.api.server import Request, Response, Server
from syftd.config import Settings
from syftd.daemon.wiring import Daemon, few_arenas
from syftd.errors import RootMissing, ServiceError
from syftd.places import Places

_ANSWER_SECONDS = 60.0


def serve(places: Places, settings: Settings, safe_mode: bool) -> int:
    """Runs the daemon until it is told to stop; returns its exit code. The caller holds the lock."""
    if not settings.datasite.is_dir() and not (places.state / "state.db").exists():
        raise RootMissing(
            f"the datasite {settings.datasite} is not there", "Make it with `syftd init`, or mount the disk it lies on."
        )
    few_arenas()
    # What is loaded by now stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    daemon = Daemon(places, settings, safe_mode)

    def on_control_thread(request: Request) -> Response:
        """Called from the server's threads: the control thread does the work."""
        try:
            result: Response = daemon.loop.ask(lambda: answer(daemon, request), _ANSWER_SECONDS)
        except NoAnswer:
            raise ServiceError("the daemon is busy and did not answer in time", "Try again in a moment.") from None
        return result

    return daemon.run(Server(places.socket, on_control_thread))
