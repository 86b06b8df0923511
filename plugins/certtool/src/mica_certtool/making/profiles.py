"""What kinds of certificate can be made, and how long each lasts unless told otherwise."""

from dataclasses import dataclass
from datetime import timedelta

from mica.cli.kit import Usage

NO_LIMIT = -1
"""What ``--path-len`` calls a CA below which any number of CAs may stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of certificate."""

    name: str
    lifetime: timedelta
    has_issuer: bool
    """Whether somebody else signs it."""
    path_length: int | None = None
    """For a CA: how many CAs may stand below it, unless told otherwise. None: it is no CA."""

    @property
    def is_ca(self) -> bool:
        """Whether it may issue."""
        return self.path_length is not None


_DAY, _DECADE = timedelta(hours=24), timedelta(days=3650)

LEAF = Profile(name="leaf", lifetime=_DAY, has_issuer=True)
SELF_SIGNED = Profile(name="self-signed", lifetime=_DAY, has_issuer=False)
INTERMEDIATE_CA = Profile(name="intermediate-ca", lifetime=_DECADE, has_issuer=True, path_length=0)
ROOT_CA = Profile(name="root-ca", lifetime=_DECADE, has_issuer=False, path_length=1)

PROFILES = {profile.name: profile for profile in (LEAF, SELF_SIGNED, INTERMEDIATE_CA, ROOT_CA)}


def path_length(profile: Profile, asked: int | None) -> int | None:
    """How many CAs may stand below a CA of this profile, None for any number; raises Usage."""
    if asked is not None and asked < NO_LIMIT:
        raise Usage(f"invalid value {asked} for flag '--path-len'", hint="a number of CAs, or -1 for no limit")
    if asked is not None and not profile.is_ca:
        raise Usage(f"flag '--path-len' is incompatible with the profile {profile.name}", hint="only CAs have one")
    return None if asked == NO_LIMIT else profile.path_length if asked is None else asked
