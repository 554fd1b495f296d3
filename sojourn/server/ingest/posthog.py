"""Batches as PostHog's clients send them to ``/batch/``, in the words of tracking calls.

Their ``distinct_id`` is a known user, unless the event says that it has no person profile.
"""

from __future__ import annotations

from typing import Any

import msgspec

PATHS = frozenset(["/batch", "/batch/"])


class PostHogBatch(msgspec.Struct):
    """What is read of a body."""

    batch: list[msgspec.Raw] | None = None
    api_key: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sent_at: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


DECODER = msgspec.json.Decoder(PostHogBatch)


def translate_event(event: Any) -> bytes:
    """The call for an event; what is no object goes on as it is, and into quarantine.

    >>> translate_event({"event": "signed_up", "distinct_id": "u1", "uuid": "7", "timestamp": "2026-11-21T21:15:11Z"})
    b'{"timestamp":"2026-11-21T21:15:11Z","messageId":"7","type":"track","event":"signed_up","userId":"u1"}'
    """
    if not isinstance(event, dict):
        return msgspec.json.encode(event)
    given = event.get("properties")
    said: dict[str, Any] = given if isinstance(given, dict) else {}
    who, name = event.get("distinct_id", said.get("distinct_id")), event.get("event")
    call = {"timestamp": event.get("timestamp"), "messageId": event.get("uuid")}
    call |= _translate_kind(name, who, said)
    traits = {**_object(said.get("$set_once")), **_object(said.get("$set"))}
    if traits:
        call["context"] = {"traits": traits}
    properties = {key: value for key, value in said.items() if not key.startswith("$")}
    if properties:
        call["properties"] = properties
    return msgspec.json.encode({key: value for key, value in call.items() if value is not None})


def _translate_kind(name: Any, who: Any, said: dict[str, Any]) -> dict[str, Any]:
    if name == "$identify":
        return {"type": "identify", "userId": who, "anonymousId": said.get("$anon_distinct_id")}
    if name == "$create_alias":
        return {"type": "alias", "userId": who, "previousId": said.get("alias")}
    id = "anonymousId" if said.get("$process_person_profile") is False else "userId"
    if name in ("$pageview", "$screen"):
        kind = "page" if name == "$pageview" else "screen"
        return {"type": kind, "name": said.get("$pathname") or said.get("$screen_name"), id: who}
    return {"type": "track", "event": name, id: who}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
