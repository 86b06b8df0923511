"""What broken copies are made of: a suite that is turned on another part, and a provisioner that can be bent."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from mica import Grant, Operation, UnverifiedToken


class Turned:
    """A suite, turned on ``Part`` in place of what its plugin builds of ``config``."""

    Part: ClassVar[type[Any]]
    config: ClassVar[Any]

    def build(self, context: Any) -> Any:
        return self.Part(self.config, context)


class Pliable:
    """A provisioner with its steps laid open, so that each can be broken by itself; stands before the provisioner."""

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        return self.changed(await super().authorize(self.read(token), operation), token)  # type: ignore[misc]

    def read(self, token: UnverifiedToken) -> UnverifiedToken:
        """The token, as it is taken."""
        return token

    def changed(self, grant: Grant, token: UnverifiedToken) -> Grant:
        """The grant, as it is given."""
        return grant


class Without:
    """A provisioner one step of which does nothing; stands before the provisioner, which must not wait meanwhile."""

    step: ClassVar[str]
    """The function, by its place, as ``mica_x5c.paths.verify``."""

    async def authorize(self, token: UnverifiedToken, operation: Operation) -> Grant:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self.step, lambda *arguments: None)
            return await super().authorize(token, operation)  # type: ignore[misc]


def with_claims(token: UnverifiedToken, **claims: object) -> UnverifiedToken:
    """The token as if it said so, under the signature that it has."""
    return replace(token, payload={**token.payload, **claims})


def with_permit(grant: Grant, kind: type, **members: Any) -> Grant:
    """The grant with these members in its permits of that kind."""
    permits = [replace(permit, **members) if isinstance(permit, kind) else permit for permit in grant.permits]
    return replace(grant, permits=tuple(permits))
