"""`syftd peers …`"""

from __future__ import annotations

import argparse
from typing import Any, Final

from syftd.cli.render import table, visible, when
from syftd.cli.session import Command, Parser, Session
from syftd.names import Email

_DONE: Final = {
    "add": "Asked {0}. It becomes a contact when they accept (`syftd peers list`).",
    "accept": "{0} is a contact now.",
    "reject": "Refused {0}.",
    "remove": "{0} is no longer a contact; nothing more is sent or taken in.",
}
_STATES: Final = {
    "requested_by_me": "asked, waiting for them",
    "requested_by_peer": "asks you: `syftd peers accept {0}`",
    "accepted": "contact",
    "rejected": "refused",
}


def state_in_words(peer: dict[str, Any]) -> str:
    """What a peer's state means for the reader."""
    state = str(peer.get("state", ""))
    if state == "rejected" and peer.get("note"):
        return str(peer["note"])
    return _STATES.get(state, state).format(peer.get("email", ""))


def _list(session: Session, _: argparse.Namespace) -> int:
    peers = session.read("/v1/peers")
    rows = [(p["email"], state_in_words(p), p.get("protection", ""), when(p.get("since"))) for p in peers]
    text = table(rows, ("PEER", "STATE", "PROTECTION", "SINCE"))
    session.answer(peers, text or "No peers yet. Add one: syftd peers add EMAIL")
    return 0


def _email(parser: Parser) -> None:
    parser.add_argument("email", metavar="EMAIL")


def _act(action: str) -> Command:
    def run(session: Session, args: argparse.Namespace) -> int:
        email = Email.parse(args.email)
        done = session.change(f"/v1/peers/{email}/{action}")
        # Whoever asks somebody who has asked already has accepted them.
        words = _DONE["accept" if action == "add" and done.get("state") == "accepted" else action]
        session.answer(done, visible(words.format(email)))
        return 0

    return Command(_email, run)


COMMANDS: Final = {
    "peers list": Command(lambda parser: None, _list),
    **{f"peers {action}": _act(action) for action in _DONE},
}
