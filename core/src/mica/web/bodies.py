"""Request bodies: read up to a limit, and read as leniently as step's servers do.

Names of members match whatever their case, unknown members and what follows the first value are ignored, ``null``
is the zero value. Wrong types are refused, and so is a member that comes twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from mica.errors import MalformedRequest, TooLarge
from mica.tokens import decode_json

MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """The members of a JSON object, their names in lower case."""

    members: Mapping[str, object]

    @classmethod
    def decode(cls, data: bytes) -> "Body":
        """The object that ``data`` begins with; raises MalformedRequest."""
        value = decode_json(data, max_bytes=MAX_BODY_BYTES, trailing=True)
        if value is None:
            return cls({})
        if not isinstance(value, dict):
            raise MalformedRequest("error decoding json: the body must be an object")
        members = {name.lower(): member for name, member in value.items()}
        if len(members) != len(value):
            raise MalformedRequest("error decoding json: an object has the same member twice, but for case")
        return cls(members)

    def text(self, name: str) -> str:
        """The string under ``name``, empty when absent or null; raises MalformedRequest."""
        value = self.members.get(name.lower())
        if value is None:
            return ""
        if not isinstance(value, str):
            raise MalformedRequest(f"error decoding json: {name} must be a string")
        return value

    def required(self, name: str) -> str:
        """The string under ``name``; raises MalformedRequest when it is missing or empty."""
        value = self.text(name)
        if not value:
            raise MalformedRequest(f"missing {name}")
        return value

    def integer(self, name: str) -> int:
        """The integer under ``name``, 0 when absent or null; raises MalformedRequest."""
        value = self.members.get(name.lower())
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int):
            raise MalformedRequest(f"error decoding json: {name} must be an integer")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        """The strings of the array under ``name``, none when absent or null; raises MalformedRequest.

        A null in it is an empty string, as step's servers have it.
        """
        value = self.members.get(name.lower())
        if value is None:
            return ()
        if not isinstance(value, list) or not all(member is None or isinstance(member, str) for member in value):
            raise MalformedRequest(f"error decoding json: {name} must be an array of strings")
        return tuple(member or "" for member in value)

    def dictionary(self, name: str) -> Mapping[str, str]:
        """The strings of the object under ``name``, by theirs, as sent; as ``strings`` otherwise."""
        value = self.members.get(name.lower())
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(m is None or isinstance(m, str) for m in value.values()):
            raise MalformedRequest(f"error decoding json: {name} must be an object of strings")
        return {key: member or "" for key, member in value.items()}

    def flag(self, name: str) -> bool:
        """The boolean under ``name``, false when absent or null; raises MalformedRequest."""
        value = self.members.get(name.lower())
        if value is None:
            return False
        if not isinstance(value, bool):
            raise MalformedRequest(f"error decoding json: {name} must be true or false")
        return value


async def decode_body(request: Request) -> Body:
    """The request's JSON body; raises MalformedRequest or TooLarge."""
    return Body.decode(await read_body(request))


async def read_body(request: Request) -> bytes:
    """The whole body; raises TooLarge above ``MAX_BODY_BYTES``, as soon as that is known."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge(f"The request body exceeds the limit of {MAX_BODY_BYTES} bytes")
