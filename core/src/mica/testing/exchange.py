"""What a client and a served CA say to each other, for tests: requests over TLS, and what is obtained by them."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mica.clock import system_clock
from mica.keyfiles import PrivateKey, generate
from mica.testing.ca import csr_pem
from mica.testing.service import Service


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: HTTPMessage = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        """The body's JSON value; raises ValueError when there is none."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What a client is told about a failure."""
        return str(self.json["message"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A certificate and its key, in two files as a client keeps them."""

    certificate: Path
    """The leaf, then its issuers, without the root; PEM."""
    key: Path
    private_key: PrivateKey = field(repr=False)

    @property
    def chain(self) -> list[x509.Certificate]:
        """The certificates in the file."""
        return x509.load_pem_x509_certificates(self.certificate.read_bytes())

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]


def ask(
    service: Service,
    method: str,
    path: str,
    body: object = None,
    *,
    credential: Credential | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to one request on a connection of its own; ``body`` is sent as JSON unless it is bytes or None."""
    context = service.context()
    if credential is not None:
        context.load_cert_chain(credential.certificate, credential.key)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with closing(service.connect(context)) as connection:
        connection.request(method, path, data, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def token(service: Service, subject: str, path: str = "/1.0/sign", **claims: Any) -> str:
    """A token of the provisioner ``admin`` that is good from now on; a claim of None is left out."""
    service.ca.clock.moment = system_clock()
    return service.ca.token(subject, path, **claims)


def order(
    service: Service, *names: str, key: PrivateKey | None = None, claims: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """The body of ``/sign`` for a certificate with these names, the first of which is the token's subject."""
    ott = token(service, names[0], **{"sans": list(names)} | dict(claims or {}))
    common_name = names[0] if len(names[0]) <= 64 else ""  # RFC 5280 appendix A.1: ub-common-name
    return {"csr": csr_pem(*names, common_name=common_name, key=key), "ott": ott, **more}


def obtain(
    service: Service,
    directory: Path,
    *names: str,
    key: PrivateKey | None = None,
    claims: Mapping[str, Any] | None = None,
    **more: Any,
) -> Credential:
    """A certificate with these names, in files below ``directory``; raises RuntimeError when the CA refuses."""
    private_key = key or generate("EC-P256")
    answer = ask(service, "POST", "/sign", order(service, *names, key=private_key, claims=claims, **more))
    if answer.status != 201:
        raise RuntimeError(f"the CA refused: {answer}")
    return keep(directory, "".join(answer.json["certChain"]), private_key)


def keep(directory: Path, chain_pem: str, private_key: PrivateKey) -> Credential:
    """The certificate and its key are in two new files below ``directory``."""
    serial_number = x509.load_pem_x509_certificate(chain_pem.encode()).serial_number
    certificate, key = (directory / f"{serial_number:x}.{kind}" for kind in ("crt", "key"))
    certificate.write_text(chain_pem)
    key.write_bytes(private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    return Credential(certificate=certificate, key=key, private_key=private_key)
