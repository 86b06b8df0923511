"""The provisioner in a whole authority: what is issued is what the token grants, whatever the request asks for."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.grants import Operation
from mica.sshcert import SSHCertificate
from mica.testing.csrs import csr_zoo
from mica.testing.line_requests import require_served
from mica.testing.line_scene import Line, LineScene
from mica.testing.makers import Maker

#: Kinds of names that no provisioner can have issued.
_NEVER = (x509.OtherName, x509.DirectoryName, x509.RegisteredID)
#: What is wrong with a CSR whoever sends it.
_REFUSED = ("key: ", "signature: ")
_HARMLESS = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
#: What requests of SSH certificates ask for beyond their tokens.
_WISHES: tuple[dict[str, Any], ...] = (
    {"principals": ["root"]},
    {"principals": ["root", "deploy,root", "*"]},
    {"principals": ["svc.example", ""]},
    {"principals": ["svc.example", "root\n"]},
    {"principals": ["a\x00b"]},
    {"certType": "host"},
    {"certType": "user"},
    {"certType": "both"},
    {"keyID": "root"},
    {"validBefore": "9999-12-31T23:59:59Z"},
)


class NamesOfTheLine(LineScene):
    """Issued is a part of granted: names of every kind, extensions, principals."""

    @pytest.mark.asyncio
    async def test_no_csr_gets_a_name_or_a_power_that_the_token_does_not_grant(self, line: Line) -> None:
        if Operation.X509_SIGN not in self.ordered:
            return
        wrong = []
        for name, hostile in csr_zoo().items():
            order = await self.order(line, Operation.X509_SIGN)
            reply = await line.ask(order, csr=hostile.pem)
            if not (reply.is_refused or (reply.is_served and not name.startswith(_REFUSED))):
                wrong.append((name, str(reply)))
            elif reply.is_served:
                leaf = x509.load_pem_x509_certificate(reply.json["crt"].encode())
                wrong += [(name, fault) for fault in self._faults(order.maker, leaf, hostile.pem)]
            elif not (await line.ask(order)).is_served:
                wrong.append((name, "the refused request burnt the token"))
        assert wrong == [], "CSRs of the zoo got more than their tokens grant, or an answer that is neither; see each"

    def _faults(self, maker: Maker, leaf: x509.Certificate, pem: str) -> list[str]:
        """What the certificate has that it should not."""
        issued = names_of(leaf)
        granted = self.names(maker)
        request = x509.load_pem_x509_csr(pem.encode())
        beyond = issued - (names_of(request) if granted is None else granted)
        faults = [f"{name} is not granted" for name in beyond]
        faults += [] if leaf.public_key() == request.public_key() else ["its key is another"]
        faults += [f"{name} is of a kind that nobody gets" for name in issued if isinstance(name, _NEVER)]
        faults += [f"{attribute} is in the subject" for attribute in leaf.subject if attribute.oid != _COMMON_NAME]
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        faults += [f"it is for {usage}" for usage in usages if usage not in _HARMLESS]
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        if usage.key_cert_sign or usage.crl_sign or _is_ca(leaf):
            faults.append("it issues")
        return faults

    @pytest.mark.asyncio
    async def test_no_ssh_request_gets_a_principal_that_the_token_does_not_grant(self, line: Line) -> None:
        if Operation.SSH_SIGN not in self.ordered:
            return
        for wish in _WISHES:
            order = await self.order(line, Operation.SSH_SIGN)
            reply = await line.ask(order, **wish)
            assert reply.is_refused or reply.is_served, (
                f"a request with {wish} must be served or refused; it got {reply}"
            )
            if reply.is_refused:
                require_served(await line.ask(order), "a token whose first request was refused")
                continue
            tbs = SSHCertificate.decode(base64.b64decode(reply.json["crt"])).tbs
            granted = self.principals(order.maker)
            wanted = {**order.body, **wish}.get("principals", ())
            assert tbs.valid_principals, "a certificate without principals is everybody's"
            beyond = set(tbs.valid_principals) - (set(wanted) if granted is None else granted)
            assert not beyond, f"a request with {wish} gets principals that the token does not grant: {beyond}"
            odd = [
                name for name in tbs.valid_principals if not name.isprintable() or not name or set(name) & set(",*? ")
            ]
            assert not odd, f"a request with {wish} gets principals that sshd reads as more than one name: {odd}"


_COMMON_NAME = x509.oid.NameOID.COMMON_NAME


def names_of(document: x509.Certificate | x509.CertificateSigningRequest) -> frozenset[x509.GeneralName]:
    """Its subjectAltNames."""
    try:
        return frozenset(document.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return frozenset()


def _is_ca(leaf: x509.Certificate) -> bool:
    try:
        return leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
