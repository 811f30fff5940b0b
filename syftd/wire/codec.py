"""Messages to the network's bytes and back.

Writing: with ``extensions=False`` the result is a plain message of the network; otherwise what goes beyond it sits
under the key ``syftd``, where the network's readers do not look. The same value always gives the same bytes.

Reading takes any bytes at all and raises only Malformed or TooLarge; every limit is checked before the work that it
bounds. Who really sent a message is not decided here: that is the channel's word, and the inbox compares.
"""

from __future__ import annotations

import json
from typing import Any, Final, get_args

from syftd.errors import Malformed, TooLarge
from syftd.wire import bounded_json, changes, container, fields
from syftd.wire.messages import Events, Limits, Outcome, Proposal, StreamPosition, Verdict

_OUTCOMES: Final = frozenset(get_args(Outcome))
_OURS: Final = Limits()


def encode_proposal(proposal: Proposal, *, extensions: bool) -> bytes:
    """The proposal as an object for an inbox. Raises TooLarge over our own limits or for blob content without the
    extensions, ContentMissing for a change without content, Malformed when only the extensions could express it."""
    written_changes = []
    for change in proposal.changes:
        content, content_type, beyond = changes.content_fields(change, extensions)
        written: dict[str, Any] = {
            "id": changes.identity(proposal.id, change.path),
            "old_hash": change.before,
            "new_hash": change.after,
            "submitted_timestamp": float(proposal.made_at),
            "path_in_datasite": change.path,
            "content": content,
            "datasite_email": proposal.datasite,
            "is_deleted": change.after is None,
            "content_type": content_type,
        }
        if beyond:
            written[changes.EXTENSION_KEY] = beyond
        written_changes.append(written)
    message: dict[str, Any] = {
        "id": proposal.id,
        "sender_email": proposal.sender,
        "message_filename": {"submitted_timestamp": float(proposal.made_at), "uid": proposal.id},
        "proposed_file_changes": written_changes,
    }
    if extensions:
        message[changes.EXTENSION_KEY] = {"datasite": proposal.datasite}
        if proposal.resync:
            message[changes.EXTENSION_KEY]["resync"] = True
    elif not written_changes:
        raise Malformed("a proposal without changes cannot be told to a peer that does not know syftd's extensions")
    _check_count(written_changes)
    return container.pack(json.dumps(message, ensure_ascii=False, indent=2).encode("utf-8"), _OURS)


def encode_events(events: Events, *, extensions: bool) -> bytes:
    """The events as an object for an outbox. Without the extensions verdicts, stream and standing are left out. Raises
    as `encode_proposal` does."""
    made_at = float(events.made_at)
    written_changes = []
    for change in events.changes:
        content, content_type, beyond = changes.content_fields(change, extensions)
        written: dict[str, Any] = {
            "id": changes.identity(events.id, change.path),
            "path_in_datasite": change.path,
            "datasite_email": events.owner,
            "content": content,
            "old_hash": change.before,
            "new_hash": change.after,
            "is_deleted": change.after is None,
            "submitted_timestamp": made_at,
            "timestamp": made_at,
            "content_type": content_type,
        }
        if beyond:
            written[changes.EXTENSION_KEY] = beyond
        written_changes.append(written)
    message: dict[str, Any] = {
        "events": written_changes,
        "message_filepath": {"id": events.id, "timestamp": made_at, "extension": ".tar.gz"},
    }
    if extensions:
        message[changes.EXTENSION_KEY] = _beyond_events(events)
    elif not written_changes:
        raise Malformed("events without changes cannot be told to a peer that does not know syftd's extensions")
    _check_count(written_changes)
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    coded = sum(len(item["content"] or "") for item in written_changes if item["content_type"] == "binary")
    return container.pack(body, _OURS, dense=2 * coded > len(body))


def decode_proposal(packed: bytes, limits: Limits) -> Proposal:
    """The proposal in an inbox object. Its id and time are those of `message_filename`, so they give the object's name
    again. Raises only Malformed or TooLarge."""
    message = _body(packed, limits)
    name = fields.record(message.get("message_filename"), "message_filename")
    beyond = fields.record(message.get(changes.EXTENSION_KEY), changes.EXTENSION_KEY)
    if message.get("id") is not None:
        fields.uuid_text(message["id"], "id")
    site, told = changes.read(
        message.get("proposed_file_changes"), "proposed_file_changes", beyond.get("datasite"), limits
    )
    return Proposal(
        id=fields.uuid_text(name.get("uid"), "message_filename.uid"),
        sender=fields.email(message.get("sender_email"), "sender_email"),
        datasite=site,
        made_at=fields.timestamp(name.get("submitted_timestamp"), "message_filename.submitted_timestamp"),
        changes=changes.each_path_once(told),
        resync=fields.flag(beyond.get("resync"), "syftd.resync"),
    )


def decode_events(packed: bytes, limits: Limits) -> Events:
    """The events in an outbox object. Raises only Malformed or TooLarge.

    An owner of the existing network merges old messages into one and then names a path more than once, in order;
    without a stream position such changes are folded into one per path. In a stream a path may be named once only."""
    message = _body(packed, limits)
    name = fields.record(message.get("message_filepath"), "message_filepath")
    beyond = fields.record(message.get(changes.EXTENSION_KEY), changes.EXTENSION_KEY)
    owner, told = changes.read(message.get("events"), "events", beyond.get("owner"), limits)
    stream = _decode_stream(beyond.get("stream"), limits)
    standing = beyond.get("standing", "")
    if standing not in ("", "rejected", "removed"):
        raise Malformed(f"syftd.standing is not known: {fields.shown(standing)}")
    return Events(
        id=fields.uuid_text(name.get("id"), "message_filepath.id"),
        owner=owner,
        made_at=fields.timestamp(name.get("timestamp"), "message_filepath.timestamp"),
        changes=changes.fold(told) if stream is None else changes.each_path_once(told),
        verdicts=_decode_verdicts(beyond.get("verdicts"), limits),
        stream=stream,
        standing=standing,
    )


def _check_count(written: list[dict[str, Any]]) -> None:
    if len(written) > _OURS.changes:
        raise TooLarge(
            f"the message has {len(written)} changes; the limit is {_OURS.changes}", "Send them in several messages."
        )


def _beyond_events(events: Events) -> dict[str, Any]:
    beyond: dict[str, Any] = {"owner": events.owner}
    if events.verdicts:
        beyond["verdicts"] = [
            {
                "proposal": verdict.proposal,
                "outcome": verdict.outcome,
                "reason": fields.prose(verdict.reason),
                "current": [{"path": path, "digest": digest} for path, digest in verdict.current],
            }
            for verdict in events.verdicts
        ]
    if events.stream is not None:
        beyond["stream"] = {
            "epoch": events.stream.epoch,
            "sequence": events.stream.sequence,
            "previous": events.stream.previous,
            "voided": events.stream.voided,
            "complete": events.stream.complete,
        }
    if events.standing:
        beyond["standing"] = events.standing
    return beyond


def _body(packed: bytes, limits: Limits) -> dict[str, Any]:
    body = container.unpack(packed, limits)
    # A change of ours has about 20 strings and 4 containers; a blob's chunk is one string of 64 digits.
    text = bounded_json.surveyed(
        body,
        depth=limits.json_depth,
        values=32 * limits.changes + len(body) // 64 + 1024,
        containers=8 * limits.changes + 256,
    )
    del body
    message = bounded_json.built(text)
    if not isinstance(message, dict):
        raise Malformed(f"the message is not a JSON object: {fields.shown(message)}")
    return message


def _decode_stream(value: object, limits: Limits) -> StreamPosition | None:
    if value is None:
        return None
    raw = fields.record(value, "syftd.stream")
    sequence = fields.count(raw.get("sequence"), "stream.sequence")
    voided = tuple(
        fields.count(number, "stream.voided")
        for number in fields.items(raw.get("voided"), "stream.voided", limits.changes)
    )
    if sequence < 1 or any(low >= high for low, high in zip((0, *voided), (*voided, sequence), strict=True)):
        raise Malformed("the numbers of the stream position do not rise from 1")
    return StreamPosition(
        epoch=fields.token(raw.get("epoch"), "stream.epoch"),
        sequence=sequence,
        previous=fields.digest(raw.get("previous"), "stream.previous"),
        voided=voided,
        complete=fields.flag(raw.get("complete"), "stream.complete"),
    )


def _decode_verdicts(value: object, limits: Limits) -> tuple[Verdict, ...]:
    verdicts = []
    for item in fields.items(value, "syftd.verdicts", limits.changes):
        raw = fields.record(item, "a verdict")
        outcome = raw.get("outcome")
        if not isinstance(outcome, str) or outcome not in _OUTCOMES:
            raise Malformed(f"the outcome of a verdict is not known: {fields.shown(outcome)}")
        reason = raw.get("reason", "")
        if not isinstance(reason, str):
            raise Malformed(f"the reason of a verdict is not a string: {fields.shown(reason)}")
        current = []
        for told in fields.items(raw.get("current"), "current of a verdict", limits.changes):
            entry = fields.record(told, "current of a verdict")
            current.append(
                (
                    fields.path(entry.get("path"), "path in a verdict"),
                    fields.digest(entry.get("digest"), "digest in a verdict"),
                )
            )
        verdicts.append(
            Verdict(
                proposal=fields.uuid_text(raw.get("proposal"), "proposal of a verdict"),
                outcome=outcome,  # type: ignore[arg-type]  # It is one of the literal's own arguments.
                reason=fields.prose(reason),
                current=tuple(current),
            )
        )
    return tuple(verdicts)
