"""The client's side: whoever sits here says their user name and password, which only the CA's provisioner can read."""

import getpass
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from mica import jwk
from mica.cli.kit import ask_text
from mica.client import Desk, KeyProblem, TokenOrder
from mica_ldap.sealing import ALG, CURVE, fragment, seal

#: Says the user name where nobody can be asked.
USER_VARIABLE = "MICA_LDAP_USER"
_OPERATIONS = ("x509-sign", "ssh-sign")  # mica.Operation is slow to import


class LDAPTokenSource:
    """Seals the password of one login in each token."""

    def token(self, order: TokenOrder, provisioner: Mapping[str, Any], desk: Desk) -> str:
        """A token for ``order``; raises KeyProblem, and what the desk and the terminal raise."""
        name = provisioner["name"]
        if order.operation not in _OPERATIONS:
            raise KeyProblem(
                f"the provisioner {name} (LDAP) vouches for people who want a new certificate",
                hint="renew and revoke with the certificate's own key",
            )
        key = _public_key(provisioner)
        user = os.environ.get(USER_VARIABLE) or ask_text(
            f"User name at {name}", flag=USER_VARIABLE, default=getpass.getuser()
        )
        password = next(desk.passwords(f"Please enter the password of {user} at {name}"), b"")
        header = {"alg": ALG, "kid": provisioner["key"].get("kid", ""), "typ": "JWT"}
        claims = {**order.claims(name, fragment=fragment(name)), "ldap_user": user}
        signing_input = ".".join(jwk.encode(json.dumps(part, sort_keys=True).encode()) for part in (header, claims))
        try:
            return f"{signing_input}.{jwk.encode(seal(password, key, signing_input.encode()))}"
        except ValueError as error:
            raise KeyProblem(f"the password of {user} cannot be used: {error}") from error


def _public_key(provisioner: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    try:
        key = jwk.load_public(provisioner["key"])
    except (KeyError, TypeError, AttributeError, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVE):
        raise KeyProblem(
            f"the CA's list has no key of {provisioner['name']} that a password could be sealed to",
            hint="its operator looks at the key in ca.toml: EC P-256",
        )
    return key
