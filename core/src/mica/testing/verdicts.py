"""What an authority makes of a token, with one provisioner and no other."""

import asyncio

from mica.errors import MalformedRequest, Refused, Unauthorized
from mica.grants import Grant, Operation
from mica.registry import DEADLINE
from mica.roles import TokenProvisioner
from mica.tokens import UnverifiedToken

#: What a provisioner may answer to a credential that it does not accept.
REFUSALS = (Unauthorized, Refused, MalformedRequest)


async def verdict(provisioner: TokenProvisioner, raw: str, operation: Operation) -> Grant:
    """The grant, if the provisioner recognises the token; else what it raises."""
    return await judgement(provisioner, UnverifiedToken.parse(raw), operation)


async def judgement(provisioner: TokenProvisioner, token: UnverifiedToken, operation: Operation) -> Grant:
    """The same of a token that can be read, within the time that an authority waits."""
    if not provisioner.recognizes(token):
        raise Unauthorized("not recognised")
    try:
        async with asyncio.timeout(DEADLINE):
            return await provisioner.authorize(token, operation)
    except TimeoutError as error:
        raise AssertionError(f"there was no answer within {DEADLINE:g} seconds, or it raised TimeoutError") from error
