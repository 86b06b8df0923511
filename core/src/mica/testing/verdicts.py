"""What an authority makes of a token, with one provisioner and no other."""

from mica.errors import MalformedRequest, Refused, Unauthorized
from mica.grants import Grant, Operation
from mica.roles import TokenProvisioner
from mica.tokens import UnverifiedToken

#: What a provisioner may answer to a credential that it does not accept.
REFUSALS = (Unauthorized, Refused, MalformedRequest)


async def verdict(provisioner: TokenProvisioner, raw: str, operation: Operation) -> Grant:
    """The grant, if the provisioner recognises the token; else what it raises."""
    token = UnverifiedToken.parse(raw)
    if not provisioner.recognizes(token):
        raise Unauthorized("not recognised")
    return await provisioner.authorize(token, operation)
