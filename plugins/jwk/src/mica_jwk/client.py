"""The client's side: tokens for JWK provisioners, signed with a key file or with the key that a password opens."""

from collections.abc import Mapping
from typing import Any

from mica import jwk, keyfiles
from mica.client import Desk, KeyProblem, TableDesk, TokenOrder, jws
from mica.jwk import PrivateKey, thumbprint
from mica_jwk import keyfile, table


class JWKTokenSource:
    """Signs each token itself; the key never leaves this machine in the clear."""

    options = table.OPTIONS

    def token(self, order: TokenOrder, provisioner: Mapping[str, Any], desk: Desk) -> str:
        """A token for ``order``; raises KeyProblem when the provisioner's key cannot be had or is another."""
        listed = provisioner.get("key") or {}
        if desk.key_file is None:
            key = self._kept(listed.get("kid", ""), provisioner["name"], desk)
        else:
            key = keyfile.read(desk.key_file, desk).key
        members = jwk.dump(key)
        if listed.get("kty") and thumbprint(listed) != members["kid"]:
            where = desk.key_file or "the key that the CA keeps"
            raise KeyProblem(
                f"{where} is not the key of the provisioner {provisioner['name']}",
                hint=f"it has the thumbprint {members['kid']}, the provisioner's is {thumbprint(listed)}",
            )
        header = {
            "alg": listed.get("alg") or members["alg"],
            "kid": listed.get("kid") or members["kid"],
            "typ": "JWT",
        }
        return jws.compact(header, order.claims(provisioner["name"]), key)

    def table(self, name: str, options: Mapping[str, Any], desk: TableDesk) -> Mapping[str, Any]:
        """``key`` and ``encrypted_key`` for a provisioner's table; see ``table.new_table``."""
        return table.new_table(name, options, desk)

    def _kept(self, kid: str, name: str, desk: Desk) -> PrivateKey:
        """The key that the CA keeps, opened with a password."""
        jwe = desk.encrypted_key(kid)
        try:
            return jwk.load(keyfile.unseal(jwe, f"the key of the provisioner {name}", desk)[0])
        except ValueError as error:
            raise KeyProblem(
                f"the key of the provisioner {name}, as the CA keeps it, cannot be used: {error}"
            ) from error


def new_key() -> dict[str, str]:
    """A new private JWK for a provisioner: EC P-256, ES256, its thumbprint as ``kid``."""
    return jwk.dump(keyfiles.generate("EC-P256"))


def public_key(private: Mapping[str, str]) -> dict[str, str]:
    """The public half of a private JWK, as ``key`` in ``ca.toml`` has it."""
    return jwk.public(private)
