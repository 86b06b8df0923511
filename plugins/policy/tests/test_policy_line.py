"""On the line: what the policy refuses is not issued, burns no token, and tells every reason."""

import logging
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mica import (
    AddUser,
    CertType,
    Claims,
    Exactly,
    Grant,
    Operation,
    ProvisionerRef,
    Query,
    Refused,
    Reusable,
    SignRequest,
    SignSSH,
    SignSSHAsRequested,
    SSHCertificate,
    SSHPublicKey,
    SSHRenewRequest,
    SSHSignRequest,
    TBSSSHCertificate,
)
from mica.authority import Authority
from mica.client import sshpoptoken
from mica.clock import system_clock
from mica.csr import decode_csr
from mica.issuance import issue_own, sign_token
from mica.keyfiles import generate
from mica.renewal import renew
from mica.requests import RenewRequest
from mica.sshissuance import issue, sign_ssh_token, ssh_issuer
from mica.sshrenewal import renew_ssh
from mica.testing.ca import TestCA, csr
from mica.testing.plugins import add_jwk_provisioner, append, enable
from mica_policy.accounts import account_of

Found = Callable[..., TestCA]
HARBOUR = (
    '[plugin.policy]\nx509 = { allow = { dns = ["*.harbour.example"] }, deny = { dns = ["root.harbour.example"] } }'
)


@asynccontextmanager
async def started(ca: TestCA) -> AsyncIterator[Authority]:
    authority = ca.authority()
    await authority.start()
    try:
        yield authority
    finally:
        await authority.aclose()


async def signed(ca: TestCA, authority: Authority, *names: str, **claims: Any) -> x509.Certificate:
    token = ca.token(names[0], sans=list(names), **claims)
    issued = await sign_token(authority, SignRequest(csr=csr(*names)), token)
    return x509.load_der_x509_certificate(issued.certificate)


async def test_a_name_outside_of_the_rules_is_refused_and_the_token_can_be_used_again(found: Found) -> None:
    ca = found(HARBOUR)
    async with started(ca) as authority:
        token = ca.token("svc.harbour.example", sans=["svc.harbour.example", "evil.example", "root.harbour.example"])
        with pytest.raises(Refused) as caught:
            await sign_token(authority, SignRequest(csr=csr(common_name="svc.harbour.example")), token)
        assert str(caught.value) == (
            "DNS name evil.example is allowed by no rule (plugin.policy.x509.allow.dns); "
            'DNS name root.harbour.example is denied by "root.harbour.example" (plugin.policy.x509.deny.dns)'
        )
        assert (await authority.store.search(Query(now=ca.clock()))).rows == ()
        assert await signed(ca, authority, "svc.harbour.example")


async def test_both_the_authoritys_policy_and_the_provisioners_must_let_a_certificate_pass(found: Found) -> None:
    ca = found(HARBOUR)
    ci = add_jwk_provisioner(ca, "ci")
    append(ca, 'policy = { x509 = { allow = { dns = ["ci.harbour.example", "ci.example"] } } }\n')
    async with started(ca) as authority:
        assert await signed(ca, authority, "svc.harbour.example")
        assert await signed(ci, authority, "ci.harbour.example", iss="ci")
        with pytest.raises(Refused) as caught:
            await signed(ci, authority, "svc.harbour.example", iss="ci")
        assert str(caught.value) == (
            'DNS name svc.harbour.example is allowed by no rule (provisioners "ci": policy.x509.allow.dns)'
        )
        with pytest.raises(Refused, match=r"plugin\.policy\.x509\.allow\.dns"):
            await signed(ci, authority, "ci.example", iss="ci")


async def test_the_cas_own_tls_certificate_needs_no_rule(found: Found) -> None:
    ca = found('[plugin.policy]\nx509 = { allow = { dns = ["svc.example"] }, deny = { ip = ["127.0.0.0/8"] } }')
    async with started(ca) as authority:
        issued = await issue_own(authority, ec.generate_private_key(ec.SECP256R1()))
        assert "localhost" in issued.issuance.names
        with pytest.raises(Refused):
            await signed(ca, authority, "localhost")


async def _renewed_after(tmp_path: Path, policy: str) -> None:
    ca = TestCA.found(tmp_path)
    async with started(ca) as authority:
        old = await signed(ca, authority, "old.example")
    enable(ca, "policy")
    append(ca, policy)
    async with started(ca) as authority:
        await renew(authority, RenewRequest(certificate=old))


async def test_what_was_issued_before_a_rule_is_not_renewed_against_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"old\.example is allowed by no rule"):
        await _renewed_after(tmp_path, f"\n{HARBOUR}\n")


async def test_renewals_are_not_judged_where_the_policy_says_so(tmp_path: Path) -> None:
    await _renewed_after(tmp_path, f"\n{HARBOUR}\nrenewals = false\n")


async def test_in_shadow_mode_one_line_tells_what_would_be_refused_and_it_is_issued(
    found: Found, caplog: pytest.LogCaptureFixture
) -> None:
    ca = found(f'{HARBOUR}\nmode = "shadow"')
    ci = add_jwk_provisioner(ca, "ci")
    append(ca, 'policy = { x509 = { deny = { dns = ["never.example"] } } }\n')
    with caplog.at_level(logging.INFO, "mica_policy"):
        async with started(ca) as authority:
            assert await signed(ca, authority, "evil.example")
            (record,) = [record for record in caplog.records if record.name == "mica_policy"]
            assert record.getMessage() == "policy would refuse a certificate"
            assert record.fields == {  # type: ignore[attr-defined]
                "kind": "x509", "provisioner": "admin", "operation": "x509-sign", "subject": "evil.example",
                "reasons": "DNS name evil.example is allowed by no rule (plugin.policy.x509.allow.dns)",
            }  # fmt: skip
            with pytest.raises(Refused) as caught:
                await signed(ci, authority, "never.example", iss="ci")
    assert caught.value.reasons == (
        'DNS name never.example is denied by "never.example" (provisioners "ci": policy.x509.deny.dns)',
    )


OPENSSL = """
[req]
distinguished_name = dn
prompt = no
req_extensions = ext
[dn]
CN = svc.harbour.example
[ext]
subjectAltName = {}
"""


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ("DNS:svc.harbour.example,IP:10.1.2.3", True),
        ("DNS:SVC.HARBOUR.EXAMPLE", True),
        ("DNS:svc.harbour.example,IP:0:0:0:0:0:ffff:a01:203", True),
        ("DNS:svc.harbour.example,IP:11.1.2.3", False),
        ("DNS:svc.harbour.example,IP:2001:db8::1", False),
        ("DNS:svc.harbour.example,email:ann@harbour.example", False),
        ("DNS:svc.harbour.example,URI:https://svc.harbour.example/", False),
        ("DNS:svc.harbour.example,DNS:*.harbour.example", False),
        ("DNS:svc.harbour.example,DNS:xn--bcher-kva.example", True),
    ],
)
async def test_requests_of_openssl_are_judged_by_what_stands_in_them(
    found: Found, tmp_path: Path, names: str, allowed: bool
) -> None:
    ca = found(
        '[plugin.policy]\nx509 = { allow = { dns = ["*.harbour.example", "BÜCHER.example"], ip = ["10.0.0.0/8"] } }'
    )
    (tmp_path / "req.cnf").write_text(OPENSSL.format(names))
    command = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -config req.cnf"
    pem = subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    request = SignRequest(csr=decode_csr(pem))
    granted = [str(name.value) for name in request.csr.names]
    async with started(ca) as authority:
        token = ca.token("svc.harbour.example", sans=granted)
        if allowed:
            issued = await sign_token(authority, request, token)
            shown = subprocess.run(
                ["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"],
                input=issued.certificate, capture_output=True, check=True,
            ).stdout  # fmt: skip
            assert b"DNS:svc.harbour.example" in shown
        else:
            with pytest.raises(Refused, match="is allowed by no rule"):
                await sign_token(authority, request, token)


# SSH

ANN = '[plugin.policy]\nssh = { user = { allow = { principal = ["ann"], email = ["@harbour.example"] } } }'


def key() -> SSHPublicKey:
    return SSHPublicKey.of(generate("Ed25519").public_key())


async def test_principals_outside_of_the_rules_are_refused_and_so_are_hosts(found: Found) -> None:
    ca = found(ANN, ssh=True)
    async with started(ca) as authority:
        order = SSHSignRequest(public_key=key())
        assert await sign_ssh_token(authority, order, ca.ssh_token("ann", "user", ["ann", "ann@harbour.example"]))
        with pytest.raises(Refused) as caught:
            await sign_ssh_token(authority, order, ca.ssh_token("ann", "user", ["ann", "root", "ann@evil.example"]))
        assert caught.value.reasons[0] == (
            "principal root is allowed by no rule (plugin.policy.ssh.user.allow.principal); "
            "principal ann@evil.example is allowed by no rule (plugin.policy.ssh.user.allow.email)"
        )
        with pytest.raises(Refused, match="for a host is allowed by no rule"):
            await sign_ssh_token(authority, order, ca.ssh_token("gate.example", "host", ["gate.example"]))


async def test_the_certificate_that_makes_an_account_is_judged_by_the_account(found: Found) -> None:
    ca = found(ANN, ssh=True)
    async with started(ca) as authority:
        order = SSHSignRequest(public_key=key(), add_user_public_key=key())
        issued = await sign_ssh_token(authority, order, ca.ssh_token("ann@harbour.example", "user", ["ann"]))
        assert issued.add_user is not None
        second = SSHCertificate.decode(issued.add_user).tbs
        assert (second.valid_principals, second.key_id) == (("provisioner",), "ann-provisioner")
        with pytest.raises(Refused, match="principal bob is allowed by no rule"):
            await sign_ssh_token(authority, order, ca.ssh_token("bob@harbour.example", "user", ["bob"]))
        with pytest.raises(Refused, match="principal provisioner is allowed by no rule"):
            await sign_ssh_token(authority, order, ca.ssh_token("provisioner", "user", ["provisioner"]))


async def test_a_hosts_certificate_is_not_renewed_against_a_rule(tmp_path: Path) -> None:
    ca, private = TestCA.found(tmp_path, ssh=True), generate("EC-P256")
    async with started(ca) as authority:
        order = SSHSignRequest(public_key=SSHPublicKey.of(private.public_key()))
        issued = await sign_ssh_token(authority, order, ca.ssh_token("gate.example", "host", ["gate.example"]))
    held = SSHCertificate.decode(issued.certificate)
    assert isinstance(private, ec.EllipticCurvePrivateKey)

    def token() -> str:
        return sshpoptoken.make(f"{ca.url}/1.0/ssh/renew", "sshpop", held, private, str(held.tbs.serial), ca.clock())

    enable(ca, "policy")
    append(ca, '\n[plugin.policy]\nssh = { host = { deny = { dns = ["gate.example"] } } }\n')
    async with started(ca) as authority:
        with pytest.raises(Refused, match='gate.example is denied by "gate.example"'):
            await renew_ssh(authority, SSHRenewRequest(), token())
    append(ca, "renewals = false\n")
    async with started(ca) as authority:
        renewed = await renew_ssh(authority, SSHRenewRequest(), token())
        assert SSHCertificate.decode(renewed.certificate).tbs.cert_type is CertType.HOST


@pytest.mark.parametrize(("account", "allowed"), [("ann", True), ("bob", False), ("provisioner", False)])
async def test_an_account_that_an_administrator_orders_is_judged_as_well(
    found: Found, account: str, allowed: bool
) -> None:
    ca = found(ANN, ssh=True)
    async with started(ca) as authority:
        request = SSHSignRequest(
            public_key=key(),
            cert_type=CertType.USER,
            key_id=account,
            principals=(account,),
            add_user_public_key=key(),
        )
        grant = Grant(
            provisioner=ProvisionerRef(name="admin", type="JWK"),
            operation=Operation.SSH_SIGN,
            subject="root@harbour.example",
            spend=Reusable(reason="a test's"),
            expires_at=ca.clock() + timedelta(minutes=1),
            permits=(SignSSHAsRequested(cert_types=frozenset(CertType)),),
        )
        claims = Claims(enable_ssh_ca=True)
        if allowed:
            issued = await issue(authority, ssh_issuer(authority), request, grant, claims)
            assert issued.add_user is not None
        else:
            with pytest.raises(Refused, match=f"principal {account} is allowed by no rule"):
                await issue(authority, ssh_issuer(authority), request, grant, claims)


def second(critical_options: tuple[tuple[str, str], ...], permits: tuple[Any, ...], **more: Any) -> str | None:
    """Whose account a certificate for ``provisioner`` makes, by its options and its grant."""
    now = system_clock()
    tbs = TBSSSHCertificate(
        nonce=b"n" * 32, public_key=key(), serial=1, cert_type=CertType.USER, key_id="ann-provisioner",
        valid_principals=("provisioner",), valid_after=now, valid_before=now, critical_options=critical_options,
        signature_key=key(), **more,
    )  # fmt: skip
    grant = Grant(
        provisioner=ProvisionerRef(name="admin", type="JWK"), operation=Operation.SSH_SIGN, subject="ann",
        spend=Reusable(reason="a test's"), expires_at=now, permits=permits,
    )  # fmt: skip
    return account_of(tbs, grant)


FORCED = (("force-command", "sudo useradd -m ann"),)


def test_only_what_the_core_composed_makes_an_account() -> None:
    plain = SignSSH(cert_type=CertType.USER, key_id="ann-provisioner", principals=Exactly(names=("provisioner",)))
    forced = replace(plain, critical_options=FORCED)
    assert second(FORCED, (plain, AddUser(account="ann"))) == "ann"
    assert second(FORCED, (SignSSHAsRequested(cert_types=frozenset(CertType)),)) == "ann"
    assert second((), (plain, AddUser(account="ann"))) is None
    assert second(FORCED, (forced, AddUser(account="ann"))) is None
