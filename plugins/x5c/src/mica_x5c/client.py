"""The client's side: tokens signed with the key of an X.509 certificate, both in files."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mica.client import Desk, KeyProblem, ReadingDesk, TokenOrder, jws, open_key
from mica.pkix import UNREADABLE
from mica_x5c import paths

_OPERATIONS = ("x509-sign", "x509-revoke", "ssh-sign")  # mica.Operation is slow to import


class X5CTokenSource:
    """Signs each token with the key of a certificate; the key never leaves this machine."""

    def token(self, order: TokenOrder, provisioner: Mapping[str, Any], desk: Desk) -> str:
        """A token for ``order``, signed with the key of the certificate that the desk has; raises KeyProblem.

        The chain is verified before: a token that the CA would refuse is not made.
        """
        name = provisioner["name"]
        if order.operation not in _OPERATIONS:
            raise KeyProblem(
                f"the provisioner {name} (X5C) orders nothing of the kind {order.operation}",
                hint="it signs and revokes X.509 certificates, and signs SSH certificates",
            )
        if desk.certificate_file is None or desk.key_file is None:
            raise KeyProblem(
                f"the provisioner {name} (X5C) needs a certificate and its private key",
                hint="name them with --x5c-cert and --x5c-key",
            )
        chain = [one for path in (desk.certificate_file, *desk.chain_files) for one in _certificates(path, desk)]
        key = open_key(desk.read(desk.key_file), desk.key_file, desk).key
        if chain[0].public_key() != key.public_key():
            raise KeyProblem(
                f"{desk.key_file}: is not the key of {desk.certificate_file}",
                hint=f"the first certificate in {desk.certificate_file} counts",
            )
        _check(chain, provisioner, order, desk.certificate_file)
        header = {
            "alg": jws.algorithm(key),
            "typ": "JWT",
            "x5c": [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain],
        }
        return jws.compact(header, order.claims(name, fragment=f"x5c/{name}"), key)


def _check(chain: list[x509.Certificate], provisioner: Mapping[str, Any], order: TokenOrder, path: Path) -> None:
    """The CA would believe the chain, as far as it says in whom it believes; raises KeyProblem."""
    if not provisioner.get("roots"):  # nothing is known of the CA but its name
        return
    try:
        roots = paths.Roots(tuple(x509.load_pem_x509_certificates(base64.b64decode(provisioner["roots"]))))
    except UNREADABLE as error:
        raise KeyProblem(f"the roots of the provisioner {provisioner['name']} cannot be read: {error}") from error
    try:
        paths.verify(chain, roots, order.issued_at)
    except UNREADABLE as error:  # InvalidPath is one of them
        subjects = "; ".join(root.subject.rfc4514_string() for root in roots.certificates)
        raise KeyProblem(
            f"{path}: the provisioner {provisioner['name']} would not believe it: {error}",
            hint=f"it believes certificates below {subjects}; --x5c-chain names a file with the issuers between",
        ) from error


def _certificates(path: Path, desk: ReadingDesk) -> list[x509.Certificate]:
    """The certificates in ``path``, PEM, or one in DER, leaf first; raises KeyProblem that names the file."""
    data = desk.read(path)
    try:
        pem = b"-----BEGIN" in data
        found = x509.load_pem_x509_certificates(data) if pem else [x509.load_der_x509_certificate(data)]
        for certificate in found:
            certificate.public_key()  # pyca reads lazily: a key of an unknown kind shows now
        return found
    except UNREADABLE as error:
        raise KeyProblem(
            f"{path}: does not hold a certificate: {error}",
            hint="it must be PEM (BEGIN CERTIFICATE), leaf first, or DER",
        ) from error
