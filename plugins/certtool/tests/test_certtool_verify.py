"""``certificate verify``: chains that openssl makes, and openssl's verdict beside mica's on each of them."""

import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

Run = Callable[..., subprocess.CompletedProcess[str]]

CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
LEAF = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
BOTH = "extendedKeyUsage=serverAuth,clientAuth\n"
NAMES = "subjectAltName=DNS:svc.example,DNS:*.wild.example.org,IP:10.20.0.7,IP:::1\n"
IDS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class PKI:
    """Certificates that openssl makes, each in a file with its name, its key beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def openssl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True)

    def make(
        self, name: str, issuer: str | None, extensions: str, *, subject: str = "", key: Sequence[str] = EC,
        days: int = 9, options: Sequence[str] = (),
    ) -> None:  # fmt: skip
        (self.folder / "ext").write_text(extensions)
        request = ("-new", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-out", "r", "-subj")
        self._must("req", *request, subject or f"/CN={name}")
        signer = ("-CA", issuer, "-CAkey", f"{issuer}.key") if issuer else ("-signkey", f"{name}.key")
        self._must(
            "x509", "-req", "-in", "r", *signer, "-days", str(days), "-set_serial", f"0x7{name.encode().hex():0<30}",
            "-out", name, *(("-extfile", "ext") if extensions else ()), *options,
        )  # fmt: skip

    def join(self, name: str, *parts: str) -> None:
        (self.folder / name).write_text("".join((self.folder / part).read_text() for part in parts))

    def move(self, name: str, of: str, issuer: str, start: datetime, end: datetime) -> None:
        """``name`` is ``of`` with another validity, which openssl x509 cannot give it."""
        old = x509.load_pem_x509_certificate((self.folder / of).read_bytes())
        key = serialization.load_pem_private_key((self.folder / f"{issuer}.key").read_bytes(), None)
        builder = x509.CertificateBuilder(
            old.issuer, old.subject, old.public_key(), old.serial_number, start, end, list(old.extensions)
        )
        new = builder.sign(key, old.signature_hash_algorithm)  # type: ignore[arg-type]
        (self.folder / name).write_bytes(new.public_bytes(serialization.Encoding.PEM))

    def _must(self, *arguments: str) -> None:
        result = self.openssl(*arguments)
        assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """Good and bad chains below ``root``, mostly through ``inter``."""
    pki = PKI(tmp_path_factory.mktemp("pki"))
    now, day = datetime.now(UTC), timedelta(days=1)
    pki.make("root", None, CA + IDS, days=99)
    pki.make("inter", "root", CA.replace("TRUE", "TRUE,pathlen:0") + IDS)
    leaf = LEAF + BOTH + NAMES + IDS
    pki.make("leaf", "inter", leaf, subject="/CN=svc.example")
    pki.make("server", "inter", LEAF + NAMES + "extendedKeyUsage=serverAuth\n")
    pki.make("client", "inter", LEAF + NAMES + "extendedKeyUsage=clientAuth\n")
    pki.make("encipher", "inter", NAMES + "keyUsage=keyEncipherment\n", key=("rsa:2048",))
    pki.make("sign-only", "inter", NAMES + "keyUsage=nonRepudiation\n")
    pki.make("plain", "inter", LEAF, subject="/CN=plain.example")
    pki.make("expired", "inter", leaf, days=-1)
    pki.make("critical", "inter", LEAF + "1.2.3.4=critical,DER:0500\n")
    pki.make("sha1", "inter", LEAF, options=("-sha1",))
    pki.make("weak", "inter", LEAF, key=("rsa:1024",))
    pki.make("below-leaf", "leaf", LEAF)
    pki.make("impostor", "root", CA + IDS, subject="/CN=inter")
    pki.make("other-root", None, CA + IDS)
    pki.make("same-name-root", None, CA + IDS, subject="/CN=root")
    pki.make("self", None, leaf)
    pki.make("v1-root", None, "")
    pki.make("under-v1", "v1-root", LEAF)
    pki.make("deep", "inter", CA + IDS)
    pki.make("too-deep", "deep", LEAF)
    pki.make("no-certsign", "root", CA.replace("keyCertSign,", "") + IDS)
    pki.make("under-no-certsign", "no-certsign", LEAF)
    pki.make("client-ca", "root", CA + IDS + "extendedKeyUsage=clientAuth\n")
    pki.make("under-client-ca", "client-ca", LEAF)
    pki.make("narrow", "root", CA + IDS + "nameConstraints=critical,permitted;DNS:svc.example\n")
    pki.make("inside", "narrow", LEAF + "subjectAltName=DNS:a.svc.example\n")
    pki.make("outside", "narrow", LEAF + "subjectAltName=DNS:a.svc.example,DNS:evil.example\n")
    for kind, key in (("ed25519", ("ed25519",)), ("rsa", ("rsa:2048",)), ("ed448", ("ed448",))):
        pki.make(f"{kind}-root", None, CA + IDS, key=key)
        pki.make(f"{kind}-leaf", f"{kind}-root", LEAF + NAMES, key=key)
    pss = ("-sigopt", "rsa_padding_mode:pss", "-sha256")
    pki.make("pss-leaf", "rsa-root", LEAF + NAMES, key=("rsa:2048",), options=pss)
    pki.move("future", "leaf", "inter", now + day, now + 2 * day)
    pki.move("old-inter", "inter", "root", now - 3 * day, now - 2 * day)
    pki.move("old-root", "root", "root", now - 3 * day, now - 2 * day)
    damaged = bytearray(x509.load_pem_x509_certificate((pki.folder / "leaf").read_bytes()).public_bytes(
        serialization.Encoding.DER))  # fmt: skip
    damaged[-3] ^= 1
    pem = x509.load_der_x509_certificate(bytes(damaged)).public_bytes(serialization.Encoding.PEM)
    (pki.folder / "damaged").write_bytes(pem)
    return pki


#: leaf, what stands between, roots, arguments of mica, arguments of openssl, what mica says of a bad one
TABLE: list[tuple[str, list[str], str, list[str], list[str], str | None]] = [
    ("leaf", ["inter"], "root", [], [], None),
    ("leaf", ["impostor", "inter"], "root", [], [], None),
    ("leaf", ["old-inter", "inter"], "root", [], [], None),
    ("leaf", ["inter"], "root", ["--purpose", "server"], ["-purpose", "sslserver"], None),
    ("leaf", ["inter"], "root", ["--purpose", "client"], ["-purpose", "sslclient"], None),
    ("leaf", ["inter"], "root", ["--host", "svc.example"], ["-verify_hostname", "svc.example"], None),
    ("leaf", ["inter"], "root", ["--host", "SVC.example"], ["-verify_hostname", "SVC.example"], None),
    ("leaf", ["inter"], "root", ["--host", "a.wild.example.org"], ["-verify_hostname", "a.wild.example.org"], None),
    ("leaf", ["inter"], "root", ["--host", "10.20.0.7"], ["-verify_ip", "10.20.0.7"], None),
    ("leaf", ["inter"], "root", ["--host", "::1"], ["-verify_ip", "::1"], None),
    ("leaf", [], "inter", [], ["-partial_chain"], None),
    ("plain", ["inter"], "root", [], [], None),
    ("self", [], "self", [], [], None),
    ("root", [], "root", [], [], None),
    ("inter", [], "root", [], [], None),
    ("under-v1", [], "v1-root", [], [], None),
    ("inside", ["narrow"], "root", [], [], None),
    ("encipher", ["inter"], "root", ["--purpose", "server"], ["-purpose", "sslserver"], None),
    ("ed25519-leaf", [], "ed25519-root", [], [], None),
    ("ed448-leaf", [], "ed448-root", [], [], None),
    ("rsa-leaf", [], "rsa-root", [], [], None),
    ("pss-leaf", [], "rsa-root", [], [], None),
    ("leaf", [], "root", [], [], "it has an unknown issuer: 'inter' is neither in the file nor among the trusted"),
    ("leaf", ["inter"], "other-root", [], [], "'inter' has an unknown issuer: 'root' is neither in the file nor"),
    ("leaf", ["inter"], "same-name-root", [], [], "'inter' is not signed by the key of its issuer 'root'"),
    ("leaf", ["impostor"], "root", [], [], "it is not signed by the key of its issuer 'inter'"),
    ("damaged", ["inter"], "root", [], [], "it is not signed by the key of its issuer 'inter'"),
    ("self", [], "root", [], [], "it is self-signed, and not among the trusted roots"),
    ("root", [], "other-root", [], [], "it is self-signed, and not among the trusted roots"),
    ("expired", ["inter"], "root", [], [], "it expired on 20"),
    ("future", ["inter"], "root", [], [], "it is not yet valid: it begins on 20"),
    ("leaf", ["old-inter"], "root", [], [], "'inter' expired on 20"),
    ("leaf", ["inter"], "old-root", [], [], "'root' expired on 20"),
    ("below-leaf", ["leaf", "inter"], "root", [], [], "'svc.example' may not issue certificates: it is not a CA"),
    ("under-no-certsign", ["no-certsign"], "root", [], [], "'no-certsign' may not issue certificates: its keyUsage"),
    ("too-deep", ["deep", "inter"], "root", [], [], "'inter' allows 0 CAs below it (path length), and 1 are there"),
    ("outside", ["narrow"], "root", [], [], "it has a name that 'narrow' may not issue: evil.example is outside"),
    ("critical", ["inter"], "root", [], [], "it has a critical extension that is not understood (1.2.3.4)"),
    ("sha1", ["inter"], "root", [], ["-auth_level", "2"], "it has a signature with SHA1, which can be forged"),
    ("weak", ["inter"], "root", [], ["-auth_level", "2"], "it has a weak key: RSA with 1024 bits"),
    ("client", ["inter"], "root", ["--purpose", "server"], ["-purpose", "sslserver"],
     "it has the wrong purpose: its extendedKeyUsage lacks serverAuth"),
    ("server", ["inter"], "root", ["--purpose", "client"], ["-purpose", "sslclient"],
     "it has the wrong purpose: its extendedKeyUsage lacks clientAuth"),
    ("under-client-ca", ["client-ca"], "root", ["--purpose", "server"], ["-purpose", "sslserver"],
     "'client-ca' has the wrong purpose: its extendedKeyUsage lacks serverAuth"),
    ("encipher", ["inter"], "root", ["--purpose", "client"], ["-purpose", "sslclient"],
     "it has the wrong purpose: its keyUsage does not let it be a TLS client"),
    ("sign-only", ["inter"], "root", ["--purpose", "server"], ["-purpose", "sslserver"],
     "it has the wrong purpose: its keyUsage does not let it be a TLS server"),
    ("leaf", ["inter"], "root", ["--host", "b.example"], ["-verify_hostname", "b.example"],
     "it is not for 'b.example': its names are svc.example, *.wild.example.org, 10.20.0.7, ::1"),
    ("leaf", ["inter"], "root", ["--host", "wild.example.org"], ["-verify_hostname", "wild.example.org"], "is not for"),
    ("leaf", ["inter"], "root", ["--host", "a.b.wild.example.org"], ["-verify_hostname", "a.b.wild.example.org"],
     "it is not for 'a.b.wild.example.org'"),
    ("leaf", ["inter"], "root", ["--host", "10.20.0.8"], ["-verify_ip", "10.20.0.8"], "it is not for '10.20.0.8'"),
]  # fmt: skip


@pytest.mark.parametrize(("leaf", "between", "roots", "ours", "theirs", "reason"), TABLE)
def test_openssl_and_mica_agree(
    mica: Run,
    pki: PKI,
    leaf: str,
    between: list[str],
    roots: str,
    ours: list[str],
    theirs: list[str],
    reason: str | None,
) -> None:
    pki.join("chain", leaf, *between)
    pki.join("between", *between)
    untrusted = ("-untrusted", "between") if between else ()
    judge = pki.openssl("verify", "-no-CAfile", "-no-CApath", "-CAfile", roots, *untrusted, *theirs, leaf)
    result = mica("certificate", "verify", pki.folder / "chain", "--roots", pki.folder / roots, *ours)
    assert (result.returncode == 0) == (judge.returncode == 0) == (reason is None), judge.stderr + result.stderr
    if reason is None:
        assert (result.stdout, result.stderr) == ("", "")
    else:
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(f"error: {pki.folder / 'chain'}: not valid: ")
        assert reason in result.stderr
        assert result.stderr.count("\n") <= 2


@pytest.mark.parametrize("order", [["leaf", "inter", "root"], ["inter", "leaf"], ["root", "inter", "leaf"]])
def test_the_chain_may_stand_in_any_order(mica: Run, pki: PKI, order: list[str]) -> None:
    pki.join("chain", *order)
    arguments = ("--roots", pki.folder / "root", "--host", "svc.example")
    assert mica("certificate", "verify", pki.folder / "chain", *arguments).returncode == 0
    piped = mica("certificate", "verify", "-", *arguments, input=(pki.folder / "chain").read_bytes())
    assert (piped.returncode, piped.stderr) == (0, "")


def test_every_reason_is_told_and_not_the_first_alone(mica: Run, pki: PKI) -> None:
    pki.join("chain", "expired", "inter")
    result = mica(
        "certificate", "verify", pki.folder / "chain", "--roots", pki.folder / "old-root", "--host", "a.example"
    )
    for reason in ("it expired on ", "it is not for 'a.example'", "'root' expired on "):
        assert reason in result.stderr


def test_a_common_name_is_no_host_name(mica: Run, pki: PKI) -> None:
    """RFC 9525 §2; openssl still takes it, so this is not in the table."""
    pki.join("chain", "plain", "inter")
    arguments = ("--roots", pki.folder / "root", "--host", "plain.example")
    result = mica("certificate", "verify", pki.folder / "chain", *arguments)
    assert result.returncode == 1
    assert "it has no alternative names, and a common name does not count (RFC 9525)" in result.stderr


def test_an_issuer_that_the_file_lacks_can_be_named(mica: Run, pki: PKI) -> None:
    arguments = ("certificate", "verify", pki.folder / "leaf", "--roots", pki.folder / "root")
    missing = mica(*arguments)
    assert "hint: name the root with --roots, and issuers that are missing with --issuing-ca" in missing.stderr
    assert mica(*arguments, "--issuing-ca", pki.folder / "inter").returncode == 0


def test_roots_are_files_lists_and_directories(mica: Run, pki: PKI, tmp_path: Path) -> None:
    pki.join("chain", "leaf", "inter")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a.pem").write_bytes((pki.folder / "root").read_bytes())
    for roots in (f"{pki.folder / 'other-root'}, {pki.folder / 'root'}", "dir"):
        assert mica("certificate", "verify", pki.folder / "chain", "--roots", roots).returncode == 0


@pytest.mark.parametrize(
    ("roots", "message"),
    [
        ("missing", "missing: there is no such file"),
        ("empty", "empty: is empty"),
        ("key", "key: holds a private key, not a certificate"),
        ("dir", "dir: is a directory without files"),
        ("dir2", "dir2/readme: holds neither PEM nor DER"),
        (",", "--roots names no file"),
    ],
)
def test_roots_that_cannot_be_used_are_an_error_and_never_the_systems_roots(
    mica: Run, pki: PKI, tmp_path: Path, roots: str, message: str
) -> None:
    pki.join("chain", "leaf", "inter")
    (tmp_path / "empty").touch()
    (tmp_path / "key").write_bytes((pki.folder / "leaf.key").read_bytes())
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir2").mkdir()
    (tmp_path / "dir2" / "readme").write_text("hello\n")
    good = {"SSL_CERT_FILE": str(pki.folder / "root")}
    assert mica("certificate", "verify", pki.folder / "chain", **good).returncode == 0
    result = mica("certificate", "verify", pki.folder / "chain", "--roots", roots, **good)
    assert (result.returncode, result.stdout) == (5, "")
    assert f"error: {message}" in result.stderr


def test_without_roots_those_of_the_system_count(mica: Run, pki: PKI, tmp_path: Path) -> None:
    pki.join("chain", "leaf", "inter")
    nowhere = {"SSL_CERT_FILE": str(tmp_path / "none"), "SSL_CERT_DIR": str(tmp_path / "none")}
    assert mica("certificate", "verify", pki.folder / "chain").returncode == 1
    assert (
        "this system has no root certificates" in mica("certificate", "verify", pki.folder / "chain", **nowhere).stderr
    )
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "root.pem").write_bytes((pki.folder / "root").read_bytes())
    store = {**nowhere, "SSL_CERT_DIR": str(tmp_path / "store")}
    assert mica("certificate", "verify", pki.folder / "chain", **store).returncode == 0


def test_verbose_tells_each_check_and_json_the_chain(mica: Run, pki: PKI) -> None:
    pki.join("chain", "leaf", "inter")
    arguments = ("certificate", "verify", pki.folder / "chain", "--roots", pki.folder / "root")
    told = mica(*arguments, "-v", "--host", "svc.example", "--purpose", "server").stdout.splitlines()
    assert told[0] == "chain: 'svc.example' ← 'inter' ← 'root', which is trusted"
    assert told[-3:] == ["purpose: TLS server", "host: svc.example", "certificate is valid"]
    found = json.loads(mica(*arguments, "--json").stdout)
    assert (found["valid"], found["reasons"]) == (True, [])
    assert [one["subject_dn"] for one in found["chain"]] == ["CN=svc.example", "CN=inter", "CN=root"]
    bad = mica(*arguments, "--json", "--host", "a.example")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert json.loads(bad.stdout)["valid"] is False
    assert json.loads(bad.stdout)["reasons"][0].startswith("it is not for 'a.example'")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "missing argument"),
        (["leaf", "--purpose", "dance"], 2, "invalid value for '--purpose'"),
        (["leaf", "--host", "not a host"], 2, "invalid value 'not a host' for flag '--host'"),
        (["leaf", "--host", "a@example"], 2, "a DNS name or an address is needed"),
        (["none", "--roots", "root"], 5, "none: there is no such file"),
        (["leaf.key", "--roots", "root"], 5, "leaf.key: holds a private key, not a certificate"),
        (["r", "--roots", "root"], 5, "r: holds a certificate signing request, not a certificate"),
    ],
)
def test_what_cannot_be_judged_has_another_exit_code(
    mica: Run, pki: PKI, arguments: list[str], code: int, message: str
) -> None:
    files = [str(pki.folder / part) if (pki.folder / part).exists() else part for part in arguments]
    result = mica("certificate", "verify", *files)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr


def test_a_signature_with_unused_bits_is_none_as_openssl_has_it(mica: Run, pki: PKI, tmp_path: Path) -> None:
    """Its octets are the same; who accepts it accepts a second certificate that nobody issued."""
    while True:
        pki.make("even", "ed25519-root", LEAF, key=("ed25519",))
        der = x509.load_pem_x509_certificate((pki.folder / "even").read_bytes()).public_bytes(
            serialization.Encoding.DER
        )
        if der[-1] % 2 == 0:  # else the bit that is not used would have to be 0, and the DER is refused for that
            break
    place = len(der) - 65
    assert der[place - 2 : place + 1] == b"\x03\x41\x00"
    (tmp_path / "twin").write_bytes(der[:place] + b"\x01" + der[place + 1 :])
    root = pki.folder / "ed25519-root"
    assert mica("certificate", "verify", pki.folder / "even", "--roots", root).returncode == 0
    result = mica("certificate", "verify", "twin", "--roots", root)
    assert (result.returncode, result.stdout) == (1, "")
    assert "it is not signed by the key of its issuer" in result.stderr
    theirs = pki.openssl("verify", "-CAfile", str(root), str(tmp_path / "twin"))
    assert theirs.returncode != 0
    assert "invalid bit string bits left" in theirs.stderr


def test_a_file_flag_never_asks_a_server(mica: Run, pki: PKI) -> None:
    for flag in ("--roots", "--issuing-ca", "--crl"):
        result = mica(
            "certificate", "verify", pki.folder / "leaf", "--roots", pki.folder / "root", flag, "https://a.test"
        )
        assert (result.returncode, result.stdout) == (5, "")
        assert "https://a.test: there is no such file" in result.stderr


def test_cas_that_sign_each_other_end_the_search(mica: Run, pki: PKI, tmp_path: Path) -> None:
    """Twelve CAs of two names, each signed by the others' key: more paths than anybody could try."""
    pki.make("a", None, CA, subject="/CN=a")
    pki.make("b", "a", CA, subject="/CN=b")
    parts = []
    for number in range(6):
        for subject, issuer in (("a", "b"), ("b", "a")):
            pki.move(f"{subject}{number}", subject, issuer, *_spans(number))
            text = (pki.folder / f"{subject}{number}").read_bytes()
            parts.append(text)
    pki.make("under-a", "a", LEAF)
    (tmp_path / "chain").write_bytes((pki.folder / "under-a").read_bytes() + b"".join(parts))
    result = mica("certificate", "verify", "chain", "--roots", pki.folder / "root")
    assert (result.returncode, result.stdout) == (1, "")


def _spans(number: int) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(days=1 + number), now + timedelta(days=1)
