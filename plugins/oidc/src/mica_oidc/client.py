"""The client's side: somebody signs in, and the provider's identity token is the token."""

from collections.abc import Mapping
from typing import Any

from mica.client import Desk, KeyProblem, TokenOrder, oauth

# mica.Operation is slow to import. Renewal is for whoever holds the certificate.
_OPERATIONS = ("x509-sign", "x509-revoke", "ssh-sign", "ssh-revoke")


class OIDCTokenSource:
    """Lets whoever sits here sign in; the token says who they are, and nothing of what is ordered."""

    def token(self, order: TokenOrder, provisioner: Mapping[str, Any], desk: Desk) -> str:
        """An identity token that no CA has seen; raises KeyProblem, NotSignedIn, Unreachable, what the desk raises."""
        name = provisioner["name"]
        if order.operation not in _OPERATIONS:
            raise KeyProblem(
                f"the provisioner {name} (OIDC) vouches for people, and not for certificates that are there already",
                hint="renew with the certificate's own key",
            )
        if not isinstance(desk, oauth.SignInDesk):
            raise KeyProblem(f"the provisioner {name} (OIDC) needs somebody who signs in", hint="use the command line")
        return oauth.identity_token(
            _text(provisioner, "configurationEndpoint"),
            _registration(provisioner),
            desk,
            tenant_id=_text(provisioner, "tenantID", optional=True),
            listen=_text(provisioner, "listenAddress", optional=True),
        ).raw


def _registration(provisioner: Mapping[str, Any]) -> oauth.Registration:
    """What the CA's list says of the client; without ``openid`` there would be no identity token."""
    scopes = _texts(provisioner, "scopes") or ("openid", "email")
    return oauth.Registration(
        client_id=_text(provisioner, "clientID"),
        client_secret=_text(provisioner, "clientSecret", optional=True),
        scopes=tuple(dict.fromkeys(("openid", *scopes))),
        parameters=tuple(_pair(text, provisioner) for text in _texts(provisioner, "authParams")),
    )


def _pair(text: str, provisioner: Mapping[str, Any]) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise KeyProblem(
            f"in the CA's list of provisioners, authParams of {provisioner['name']} has {text!r}: no name=value",
            hint="its operator mends it: mica ca provisioner update",
        )
    return key, value


def _text(provisioner: Mapping[str, Any], member: str, *, optional: bool = False) -> str:
    value = provisioner.get(member) or ""
    if not isinstance(value, str) or not (value or optional):
        raise KeyProblem(f"the CA's list of provisioners says no {member} of {provisioner['name']}, as it must")
    return value


def _texts(provisioner: Mapping[str, Any], member: str) -> tuple[str, ...]:
    values = provisioner.get(member) or ()
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise KeyProblem(f"in the CA's list of provisioners, {member} of {provisioner['name']} is no list of texts")
    return tuple(values)
