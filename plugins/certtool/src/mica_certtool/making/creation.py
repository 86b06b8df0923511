"""What ``mica certificate create`` does once its flags are known to fit together."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from mica import SubjectPublicKey
from mica.cli.kit import (
    PrivateKey,
    key_pem,
    new_key,
    read_key,
    report,
    say,
    wants_json,
    write_all,
)
from mica.clock import system_clock
from mica_certtool.crypto import protection
from mica_certtool.making import chains, contents, issuing, requests
from mica_certtool.making.issuers import Issuer, read_issuer
from mica_certtool.making.issuing import Wanted
from mica_certtool.making.profiles import path_length
from mica_certtool.outputs import PUBLIC, SECRET
from mica_certtool.reading.members import summary
from mica_certtool.reading.names import general_name_text

if TYPE_CHECKING:
    from mica_certtool.making.create import Order

Output = tuple[Path, bytes, int]


def request(order: "Order", names: Sequence[x509.GeneralName]) -> None:
    """The request and its key are in their files, and reported."""
    key, outputs = _key(order)
    write_all([*outputs, (order.crt_file, requests.make(order.subject, names, key), PUBLIC)])
    if wants_json():
        files = {"csr": str(order.crt_file), "key": str(order.key_file or order.key)}
        report({**files, "subject": order.subject, "names": [general_name_text(name) for name in names]})
    _say_where(order, "certificate signing request")


def certificate(order: "Order", names: Sequence[x509.GeneralName]) -> None:
    """The certificate and its key are in their files, and reported."""
    now = system_clock()
    issuer = _issuer(order, now)
    lifetime = order.kind.lifetime
    valid = issuing.validity(order.not_before, order.not_after, lifetime=lifetime, issuer=issuer, now=now)
    key, outputs = _key(order)
    wanted = _wanted(order, names, key)
    made = issuing.certify(wanted, issuer, valid) if issuer else issuing.certify_itself(wanted, key, valid)
    chain = (made, *(issuer.bundled if issuer and order.bundle else ()))
    write_all([*outputs, (order.crt_file, chains.pem(chain), PUBLIC)])
    if wants_json():
        files = {"certificate": str(order.crt_file), "key": str(order.key_file or order.key)}
        report({**files, "profile": order.kind.name, **summary(made)})
    _say_where(order, "certificate")


def _issuer(order: "Order", now: datetime) -> Issuer | None:
    """Who signs, None when it is the new key itself; raises FileProblem, Usage."""
    if order.ca is None or order.ca_key is None:
        return None
    issuer = read_issuer(order.ca, order.ca_key, order.ca_password_file, flag="--ca-password-file", now=now)
    issuing.check_path_length(order.kind, order.path_len, issuer)
    return issuer


def _key(order: "Order") -> tuple[PrivateKey, list[Output]]:
    """The key, and what is to be written of it."""
    if order.key is not None:
        return read_key(order.key, order.password_file), []
    secret = protection.new_password(order.password_file, "the private key", no_password=order.no_password)
    key = new_key(order.kty, order.curve, order.size)
    assert order.key_file is not None  # the command checks that there is one of the two
    return key, [(order.key_file, key_pem(key, secret), SECRET)]


def _wanted(order: "Order", names: Sequence[x509.GeneralName], key: PrivateKey) -> Wanted:
    public = SubjectPublicKey.of(key.public_key())
    if order.kind.is_ca:
        extensions = contents.of_ca(path_length(order.kind, order.path_len))
    else:
        extensions = contents.of_leaf(public, names, subject_is_empty=not order.subject)
    return Wanted(subject=requests.common_name(order.subject).public_bytes(), key=public, extensions=tuple(extensions))


def _say_where(order: "Order", made: str) -> None:
    say(f"Your {made} has been saved in {order.crt_file}.")
    if order.key_file is not None:
        say(f"Your private key has been saved in {order.key_file}.")
