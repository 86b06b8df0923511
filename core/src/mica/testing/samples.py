"""Certificates in question, for tests of policies: what a policy is shown of them, and names that are strange."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from ipaddress import ip_address
from secrets import token_bytes, token_hex
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mica.grants import Exactly, Grant, OneTime, Operation, Permit, SignSSH, SignX509
from mica.keyfiles import PrivateKey, generate
from mica.names import classify
from mica.pkix import Extension, SubjectPublicKey, TBSCertificate, encode_common_name
from mica.profile import SUBJECT_ALTERNATIVE_NAME, key_usage
from mica.records import ProvisionerRef
from mica.requests import CSR, SignRequest, SSHSignRequest
from mica.sshcert import CertType, TBSSSHCertificate
from mica.sshkeys import SSHPublicKey

ADMIN = ProvisionerRef(name="admin", type="JWK", credential_id="kid")
_SHA256_WITH_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
Facts = tuple[Any, Any, Grant]


@dataclass(frozen=True, kw_only=True)
class X509Sample:
    """An X.509 certificate that somebody asks for."""

    names: tuple[x509.GeneralName, ...]
    common_name: str = ""
    provisioner: ProvisionerRef = ADMIN

    def facts(self, now: datetime, *, renewal: bool = False) -> Facts:
        """Request, TBSCertificate and grant, as a policy is shown them; the request is None on renewal."""
        key = SubjectPublicKey.of(_key().public_key())
        extensions = [key_usage(key)]
        if self.names:
            value = x509.SubjectAlternativeName(self.names).public_bytes()
            extensions.append(Extension(SUBJECT_ALTERNATIVE_NAME, not self.common_name, value))
        tbs = TBSCertificate(
            serial_number=int.from_bytes(token_bytes(15)) + 1,
            signature=_SHA256_WITH_ECDSA,
            issuer=encode_common_name("Test Intermediate CA"),
            not_before=now.replace(microsecond=0),
            not_after=now.replace(microsecond=0) + timedelta(days=1),
            subject=encode_common_name(self.common_name),
            subject_public_key=key,
            extensions=tuple(extensions),
        )
        der = _csr_der()
        csr = CSR(der=der, public_key=key, common_name=self.common_name, names=self.names, digest=_sha256(der))
        permit = SignX509(subject_common_name=self.common_name, names=Exactly(names=self.names))
        subject = self.common_name or (str(self.names[0].value) if self.names else "nobody")
        grant = _grant(self.provisioner, Operation.X509_RENEW if renewal else Operation.X509_SIGN, subject, permit, now)
        return (None if renewal else SignRequest(csr=csr)), tbs, grant


@dataclass(frozen=True, kw_only=True)
class SSHSample:
    """An SSH certificate that somebody asks for."""

    cert_type: CertType
    principals: tuple[str, ...]
    key_id: str = "somebody@example"
    provisioner: ProvisionerRef = ADMIN

    def facts(self, now: datetime, *, renewal: bool = False) -> Facts:
        """Request, TBSSSHCertificate and grant, as a policy is shown them; the request is None on renewal."""
        key = SSHPublicKey.of(_key().public_key())
        tbs = TBSSSHCertificate(
            nonce=token_bytes(32),
            public_key=key,
            serial=int.from_bytes(token_bytes(8)),
            cert_type=self.cert_type,
            key_id=self.key_id,
            valid_principals=self.principals,
            valid_after=now.replace(microsecond=0),
            valid_before=now.replace(microsecond=0) + timedelta(hours=16),
            signature_key=key,
        )
        request = SSHSignRequest(public_key=key, cert_type=self.cert_type, principals=self.principals)
        permit = SignSSH(cert_type=self.cert_type, key_id=self.key_id, principals=Exactly(names=self.principals))
        operation = Operation.SSH_RENEW if renewal else Operation.SSH_SIGN
        return (None if renewal else request), tbs, _grant(self.provisioner, operation, self.key_id, permit, now)


Sample = X509Sample | SSHSample


def x509_sample(*names: str, common_name: str = "", provisioner: ProvisionerRef = ADMIN) -> X509Sample:
    """A certificate with these names: DNS names, addresses, e-mail addresses and URIs, told apart as mica does."""
    return X509Sample(names=tuple(map(classify, names)), common_name=common_name, provisioner=provisioner)


def ssh_sample(cert_type: str, *principals: str, key_id: str = "somebody@example") -> SSHSample:
    """A certificate for a ``user`` or a ``host`` with these principals."""
    return SSHSample(cert_type=CertType[cert_type.upper()], principals=principals, key_id=key_id)


STRANGE_TEXTS = {
    "empty": "", "one dot": ".", "dots": "a..b", "a star": "*", "a wildcard": "*.example", "stars": "*.*.example",
    "a newline": "svc.example\nroot", "a NUL": "svc.example\0.evil", "an escape": "\x1b[31msvc",
    "a space": " svc.example", "a comma": "svc,root", "a trailing dot": "svc.example.", "percent": "%2e%2e",
    "a path": "../../etc", "a template": "{{ .Token.sub }}", "huge": "a" * 60_000, "xn--": "xn--",
    "many labels": ".".join(["a"] * 5000),
    "IDN": "xn--bcher-kva.example", "bad IDN": "xn--a\x7f.example", "a port": "svc.example:443", "an at": "@",
}  # fmt: skip
#: What only SSH certificates can hold: they are UTF-8.
STRANGE_UNICODE = {
    "a line separator": "svc\u2028root", "right to left": "svc\u202egro.elpmaxe", "full width": "ｓｖｃ.example",
    "umlauts": "bücher.example", "a dot of another script": "svc。example", "combining": "e\u0301.example",
}  # fmt: skip


def strange_samples() -> dict[str, Sample]:
    """Certificates that no grant should ever have led to; what a policy says of them, it must say plainly."""
    samples: dict[str, Sample] = {"x509: no names": X509Sample(names=())}
    for label, text in STRANGE_TEXTS.items():
        short = text if 0 < len(text) <= 64 else "svc"
        samples[f"x509: DNS {label}"] = X509Sample(names=(x509.DNSName(text),))
        samples[f"x509: e-mail {label}"] = X509Sample(names=(_unchecked(x509.RFC822Name, text),))
        samples[f"x509: URI {label}"] = X509Sample(names=(_unchecked(x509.UniformResourceIdentifier, text),))
        samples[f"x509: CN {label}"] = X509Sample(names=(), common_name=short)
    for name in _strange_kinds():
        samples[f"x509: {type(name).__name__} {name.value}"] = X509Sample(names=(name,))
    for label, text in (STRANGE_TEXTS | STRANGE_UNICODE).items():
        for cert_type in CertType:
            samples[f"ssh {cert_type.name.lower()}: {label}"] = SSHSample(cert_type=cert_type, principals=(text,))
    for cert_type in CertType:  # valid for everybody, if it were ever issued
        samples[f"ssh {cert_type.name.lower()}: no principals"] = SSHSample(cert_type=cert_type, principals=())
    return samples


def _strange_kinds() -> Sequence[x509.GeneralName]:
    return (
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x04root"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
        x509.IPAddress(ip_address("0.0.0.0")),
        x509.IPAddress(ip_address("::ffff:127.0.0.1")),
        x509.IPAddress(ip_address("::")),
    )


def _unchecked(kind: Any, text: str) -> x509.GeneralName:
    name: x509.GeneralName = kind._init_without_validation(text)
    return name


def _grant(provisioner: ProvisionerRef, operation: Operation, subject: str, permit: Permit, now: datetime) -> Grant:
    end = now + timedelta(minutes=5)
    return Grant(
        provisioner=provisioner,
        operation=operation,
        subject=subject or "nobody",
        spend=OneTime(id=token_hex(16), until=end),
        expires_at=end,
        permits=(permit,),
        claims=MappingProxyType({"sub": subject, "groups": ("a", "b")}),
        evidence=MappingProxyType({"jti": token_hex(8)}),
    )


@cache
def _key() -> PrivateKey:
    return generate("EC-P256")


@cache
def _csr_der() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(_key(), hashes.SHA256()).public_bytes(Encoding.DER)


def _sha256(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()
