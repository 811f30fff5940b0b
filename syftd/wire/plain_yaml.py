"""YAML from strangers, as far as the network's job files need it: mappings, lists and scalars without meaning.

Scalars stay text (an unquoted null or empty one is None), so no value is ever turned into a date, a number or an object
behind our back. Anchors, tags, a second document and duplicate keys are refused.
"""

from __future__ import annotations

from typing import Any, Final

from syftd.errors import Malformed, TooLarge

_DEPTH: Final = 8
_NODES: Final = 20_000
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_NO_KEY: Final = object()


def parse(content: bytes, what: str, most_bytes: int) -> object:
    """The one document in `content` (UTF-8) as None, str, list and dict[str, …]; None when it is empty. Raises TooLarge
    or Malformed with `what` as the file's name."""
    if len(content) > most_bytes:
        raise TooLarge(f"{what} is {len(content)} bytes; the limit is {most_bytes}")
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _compose(yaml.parse(content.decode("utf-8"), Loader=loader), what)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # Escapes beyond Unicode are a ValueError in PyYAML.
        reason = " ".join(str(error).split())[:200]
    raise Malformed(f"{what} is not valid YAML: {reason}")


def _compose(events: Any, what: str) -> object:
    import yaml

    root: object = None
    documents = nodes = 0
    stack: list[dict[str, Any] | list[Any]] = []
    keys: list[Any] = []
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise Malformed(f"{what} holds more than one YAML document")
            continue
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            stack.pop()
            keys.pop()
            continue
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Malformed(f"{what} uses YAML anchors, which are not allowed there")
        node: Any
        if isinstance(event, yaml.ScalarEvent):
            node = None if event.implicit[0] and event.value in _NULLS and not event.style else event.value
        elif isinstance(event, yaml.MappingStartEvent):
            node = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            node = []
        else:
            continue
        if event.tag is not None:
            raise Malformed(f"{what} uses YAML tags, which are not allowed there")
        nodes += 1
        if nodes > _NODES:
            raise TooLarge(f"{what} holds more than {_NODES} YAML values")
        if not stack:
            root = node
        elif isinstance(stack[-1], list):
            stack[-1].append(node)
        elif keys[-1] is _NO_KEY:
            if not isinstance(node, str):
                raise Malformed(f"{what} has a YAML key that is not text")
            if node in stack[-1]:
                raise Malformed(f"{what} has the YAML key {node[:80]!r} twice")
            keys[-1] = node
            continue
        else:
            stack[-1][keys[-1]] = node
            keys[-1] = _NO_KEY
        if isinstance(node, (dict, list)):
            if len(stack) >= _DEPTH:
                raise Malformed(f"{what} is nested more than {_DEPTH} levels deep")
            stack.append(node)
            keys.append(_NO_KEY)
    return root
