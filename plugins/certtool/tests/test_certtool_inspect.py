"""``certificate inspect``: the layouts to the letter, with openssl's reading of the same file beside them."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]
Issue = Callable[..., Path]

SERIAL = 218846903417720519863355012841906677214
PROVISIONER = x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1")


def shown(result: subprocess.CompletedProcess[str]) -> str:
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def rows(octets: bytes, width: int, indent: int) -> str:
    """The rows that the layout asks for, written in another way than the program does."""
    cells = [f"{octet:02x}" for octet in octets]
    lines = [":".join(cells[i : i + width]) for i in range(0, len(cells), width)]
    return ":\n".join(" " * indent + line for line in lines)


def number(value: int) -> bytes:
    return bytes.fromhex(f"{value:x}" if len(f"{value:x}") % 2 == 0 else f"0{value:x}")


SHORT = """\
X.509v3 TLS Certificate (ECDSA P-256) [Serial: 2188...7214]
  Subject:     svc.example
               svc.internal
               10.20.0.7
  Issuer:      Harbour Works Intermediate CA
  Provisioner: ops@harbour.example [ID: Qv7m...UxVc]
  Valid from:  2031-03-14T09:25:53Z
          to:  2031-03-15T09:26:53Z
"""

LONG = """\
Certificate:
    Data:
        Version: 3 (0x2)
        Serial Number: 218846903417720519863355012841906677214 (0xa4a461655bd3586d256939929508a5de)
        Signature Algorithm: ECDSA-SHA256
        Issuer: O=Harbour Works,CN=Harbour Works Intermediate CA
        Validity
            Not Before: Mar 14 09:25:53 2031 UTC
            Not After : Mar 15 09:26:53 2031 UTC
        Subject: CN=svc.example
        Subject Public Key Info:
            Public Key Algorithm: ECDSA
                Public-Key: (256 bit)
                X:
{x}
                Y:
{y}
                Curve: P-256
        X509v3 extensions:
            X509v3 Key Usage: critical
                Digital Signature
            X509v3 Extended Key Usage:
                Server Authentication, Client Authentication
            X509v3 Subject Key Identifier:
                D5:29:5C:B7:E0:6E:9B:C6:92:8B:4C:D0:23:7B:70:2F:28:43:BE:23
            X509v3 Authority Key Identifier:
                7B:75:EE:BE:A8:40:07:08:3D:57:65:7C:63:25:F8:A9:44:CC:18:AE
            X509v3 Subject Alternative Name:
                DNS:svc.example, DNS:svc.internal
                IP Address:10.20.0.7
            X509v3 Step Provisioner:
                Type: JWK
                Name: ops@harbour.example
                CredentialID: Qv7mT0cXk1uR9e2LwZbYh5sJpNaD3gF6iK8oE4tUxVc
    Signature Algorithm: ECDSA-SHA256
{signature}
    SHA-256 Fingerprint: {fingerprint}
    Status: NOT YET VALID, begins in """


def test_the_short_layout_to_the_letter(mica: Run, sample: Path) -> None:
    assert shown(mica("certificate", "inspect", "--short", sample)) == SHORT


def test_the_long_layout_to_the_letter(mica: Run, openssl: OpenSSL, sample: Path) -> None:
    certificate = x509.load_pem_x509_certificate(sample.read_bytes())
    point = certificate.public_key().public_numbers()  # type: ignore[union-attr]
    expected = LONG.format(
        x=rows(number(point.x), 15, 20),
        y=rows(number(point.y), 15, 20),
        signature=rows(certificate.signature, 18, 9),
        fingerprint=openssl("x509", "-in", sample, "-noout", "-fingerprint", "-sha256")
        .strip()
        .split("=")[1]
        .replace(":", "")
        .lower(),
    )
    assert shown(mica("certificate", "inspect", sample)).startswith(expected)


def test_openssl_reads_the_same_out_of_it(mica: Run, openssl: OpenSSL, sample: Path) -> None:
    ours, theirs = shown(mica("certificate", "inspect", sample)), openssl("x509", "-in", sample, "-noout", "-text")
    bits = re.findall(r"pub:\n((?: +[0-9a-f:]+\n)+)", theirs)[0]
    assert "04" + re.sub(r"[^0-9a-f]", "", "".join(re.findall(r"[XY]:\n((?: +[0-9a-f:]+\n)+)", ours))) == re.sub(
        r"[^0-9a-f]", "", bits
    )
    assert re.sub(r"[\s:]", "", ours.split("Signature Algorithm: ECDSA-SHA256\n")[2].split("    SHA-256")[0]) == re.sub(
        r"[\s:]", "", theirs.split("Signature Value:")[1]
    )


def test_json_has_the_members_of_the_schema(mica: Run, openssl: OpenSSL, sample: Path) -> None:
    found = json.loads(shown(mica("certificate", "inspect", "--format", "json", sample)))
    assert list(found) == [
        "version", "serial_number", "signature_algorithm", "issuer", "issuer_dn", "validity", "subject", "subject_dn",
        "subject_key_info", "extensions", "signature", "fingerprint_md5", "fingerprint_sha1", "fingerprint_sha256",
        "tbs_noct_fingerprint", "spki_subject_fingerprint", "tbs_fingerprint", "validation_level", "names", "redacted",
    ]  # fmt: skip
    assert (found["version"], found["serial_number"]) == (3, str(SERIAL))
    assert found["signature_algorithm"] == {"name": "ECDSA-SHA256", "oid": "1.2.840.10045.4.3.2"}
    assert found["issuer"] == {"organization": ["Harbour Works"], "common_name": ["Harbour Works Intermediate CA"]}
    assert found["issuer_dn"] == "O=Harbour Works, CN=Harbour Works Intermediate CA"
    assert found["validity"] == {"start": "2031-03-14T09:25:53Z", "end": "2031-03-15T09:26:53Z", "length": 86460}
    assert found["extensions"] == {
        "key_usage": {"digital_signature": True, "value": 1},
        "extended_key_usage": {"server_auth": True, "client_auth": True},
        "subject_key_id": "d5295cb7e06e9bc6928b4cd0237b702f2843be23",
        "authority_key_id": "7b75eebea84007083d57657c6325f8a944cc18ae",
        "subject_alt_name": {"dns_names": ["svc.example", "svc.internal"], "ip_addresses": ["10.20.0.7"]},
        "step_provisioner": {
            "type": "JWK", "name": "ops@harbour.example", "credentialID": "Qv7mT0cXk1uR9e2LwZbYh5sJpNaD3gF6iK8oE4tUxVc"
        },
    }  # fmt: skip
    assert (found["signature"]["valid"], found["signature"]["self_signed"]) == (False, False)
    assert found["names"] == ["svc.example", "svc.internal", "10.20.0.7"]
    for algorithm in ("md5", "sha1", "sha256"):
        printed = openssl("x509", "-in", sample, "-noout", "-fingerprint", f"-{algorithm}").strip().split("=")[1]
        assert found[f"fingerprint_{algorithm}"] == printed.replace(":", "").lower()


def test_pem_is_the_certificate_again(mica: Run, sample: Path) -> None:
    assert shown(mica("certificate", "inspect", "--format", "pem", sample)) == sample.read_text()


def test_short_is_for_the_text_layout_only(mica: Run, sample: Path) -> None:
    result = mica("certificate", "inspect", "--short", "--format", "json", sample)
    assert result.returncode == 2
    assert "flag '--short' is incompatible with '--format json'" in result.stderr


@pytest.mark.parametrize(
    ("key", "short", "rest"),
    [
        (["rsa:2048"], "RSA 2048", ["Public-Key: (2048 bit)", "Modulus:", "Exponent: 65537 (0x10001)"]),
        (["ed25519"], "Ed25519 256", ["Public Key Algorithm: Ed25519", "Public-Key: (32 bit)"]),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "ECDSA P-384", ["Public-Key: (384 bit)", "Curve: P-384"]),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-521"], "ECDSA P-521", ["Public-Key: (521 bit)", "Curve: P-521"]),
        (["ed448"], "1.3.101.113", ["Public Key Algorithm: 1.3.101.113"]),
        (["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"], "RSA 2048", ["Signature Algorithm: SHA256-RSAPSS"]),
    ],
)
def test_every_kind_of_key_of_openssl_is_shown(
    mica: Run, openssl: OpenSSL, tmp_path: Path, key: list[str], short: str, rest: list[str]
) -> None:
    openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", "k", "-out", "c", "-days", "2", "-subj", "/CN=Root")
    assert shown(mica("certificate", "inspect", "--short", "c")).startswith(f"X.509v3 Root CA Certificate ({short}) [")
    long = shown(mica("certificate", "inspect", "c"))
    for text in (*rest, "CA:TRUE", "Status: valid, 1d 23h remaining\n"):
        assert text in long
    json.loads(shown(mica("certificate", "inspect", "--format", "json", "c")))


def test_roles_and_expiry(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl(
        "req",
        "-x509",
        "-newkey",
        "ed25519",
        "-nodes",
        "-keyout",
        "r.key",
        "-out",
        "r",
        "-subj",
        "/CN=Root",
        "-days",
        "9",
    )
    openssl("req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "i.key", "-out", "i.csr", "-subj", "/CN=Inter")
    (tmp_path / "ext").write_text(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    )
    openssl(
        "x509", "-req", "-in", "i.csr", "-CA", "r", "-CAkey", "r.key", "-set_serial", "12345678", "-days", "-1",
        "-out", "i", "-extfile", "ext",
    )  # fmt: skip
    short = shown(mica("certificate", "inspect", "--short", "i"))
    assert short.startswith(
        "X.509v3 Intermediate CA Certificate (Ed25519 256) [Serial: 12345678]\n  Subject:     Inter\n"
    )
    assert "Provisioner" not in short
    long = shown(mica("certificate", "inspect", "i"))
    assert "CA:TRUE, pathlen:0" in long
    assert "Certificate Sign, CRL Sign" in long
    assert re.search(r"    Status: EXPIRED (1d 0h|23h \d+m) ago\n$", long)


def test_every_extension_has_its_layout(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text(
        "[req]\ndistinguished_name=dn\n[dn]\n[e]\n"
        "subjectAltName=email:a@x.example,URI:https://x.example/a,DNS:x.example,IP:::1,dirName:d,RID:1.2.3,otherName:1.2.3;UTF8:o\n"
        "nameConstraints=permitted;DNS:a.example,permitted;DNS:b.example,excluded;IP:10.0.0.0/255.0.0.0\n"
        "crlDistributionPoints=URI:http://x.example/1.crl,URI:http://x.example/2.crl\n"
        "authorityInfoAccess=OCSP;URI:http://o.example,caIssuers;URI:http://i.example\n"
        "certificatePolicies=1.2.3,2.23.140.1.2.1\n"
        "extendedKeyUsage=codeSigning,1.2.3.4\n"
        "keyUsage=keyAgreement,encipherOnly\n"
        "1.2.3.4.5=DER:0c0368c3a9\n"
        "basicConstraints=CA:FALSE\n"
        "[d]\nCN=dir\n"
    )
    openssl(
        "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "c", "-subj", "/CN=X",
        "-extensions", "e", "-config", "conf",
    )  # fmt: skip
    rows = [row.strip() for row in shown(mica("certificate", "inspect", "c")).splitlines()]
    for title, *below in (
        (
            "X509v3 Subject Alternative Name:", "DNS:x.example", "IP Address:::1", "email:a@x.example",
            "URI:https://x.example/a", "DirName:CN=dir", "Registered ID:1.2.3", "othername:1.2.3:0c016f",
        ),
        (
            "X509v3 Name Constraints:", "Permitted:", "DNS: a.example, b.example", "Excluded:", "IP Range: 10.0.0.0/8",
        ),
        (
            "X509v3 CRL Distribution Points:", "Full Name:", "URI:http://x.example/1.crl", "Full Name:",
            "URI:http://x.example/2.crl",
        ),
        ("Authority Information Access:", "OCSP - URI:http://o.example", "CA Issuers - URI:http://i.example"),
        ("X509v3 Certificate Policies:", "Policy: 1.2.3", "Policy: 2.23.140.1.2.1"),
        ("X509v3 Extended Key Usage:", "Code Signing, 1.2.3.4"),
        ("X509v3 Key Usage:", "Key Agreement, Encipher Only"),
        ("1.2.3.4.5:", "..h.."),
        ("X509v3 Basic Constraints:", "CA:FALSE"),
    ):  # fmt: skip
        at = rows.index(title)
        assert rows[at + 1 : at + 1 + len(below)] == below
    found = json.loads(shown(mica("certificate", "inspect", "--format", "json", "c")))
    assert found["unknown_extensions"] == [{"id": "1.2.3.4.5", "critical": False, "value": "DANow6k="}]
    assert found["validation_level"] == "DV"
    assert found["extensions"]["authority_info_access"] == {
        "ocsp_urls": ["http://o.example"],
        "issuer_urls": ["http://i.example"],
    }
    assert found["extensions"]["key_usage"] == {"key_agreement": True, "encipher_only": True, "value": 16 + 128}


def test_a_request_has_the_layout_and_the_schema_of_a_certificate(mica: Run, openssl: OpenSSL) -> None:
    openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "r",
        "-subj", "/O=Works/CN=svc.example", "-addext", "subjectAltName=DNS:svc.example,DNS:svc.internal",
    )  # fmt: skip
    assert shown(mica("certificate", "inspect", "--short", "r")) == (
        "X.509v3 Certificate Signing Request (ECDSA P-256)\n  Subject:     svc.example\n               svc.internal\n"
    )
    long = shown(mica("certificate", "inspect", "r"))
    assert long.startswith(
        "Certificate Request:\n    Data:\n        Version: 0 (0x0)\n        Subject: O=Works,CN=svc.example\n"
        "        Subject Public Key Info:\n            Public Key Algorithm: ECDSA\n"
    )
    assert "        Requested Extensions:\n            X509v3 Subject Alternative Name:\n" in long
    assert "                DNS:svc.example, DNS:svc.internal\n" in long
    assert long.endswith("    Status: signed by its own key\n")
    found = json.loads(shown(mica("certificate", "inspect", "--format", "json", "r")))
    assert not {"serial_number", "issuer", "validity"} & set(found)
    assert (found["subject_dn"], found["signature"]["valid"]) == ("O=Works, CN=svc.example", True)
    assert found["extensions"]["subject_alt_name"] == {"dns_names": ["svc.example", "svc.internal"]}


def test_a_request_with_a_foreign_signature_is_marked(mica: Run, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl(
        "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "r", "-outform", "DER", "-subj", "/CN=a"
    )
    request = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(request[:-9] + bytes([request[-9] ^ 1]) + request[-8:])
    assert "    Status: THE SIGNATURE IS NOT BY ITS OWN KEY\n" in shown(mica("certificate", "inspect", "r"))


def test_neither_common_name_nor_alternative_name_leaves_the_subject_blank(mica: Run, issue: Issue) -> None:
    works = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Works")])
    issue("c", subject=x509.Name([]), issuer=works, serial=5)
    assert shown(mica("certificate", "inspect", "--short", "c")).splitlines()[:3] == [
        "X.509v3 TLS Certificate (ECDSA P-256) [Serial: 5]",
        "  Subject: ",
        "  Issuer:      O=Works",
    ]


@pytest.mark.parametrize(
    ("extension", "short", "long"),
    [
        ((6, b"acme", b""), "  Provisioner: acme\n", "Type: ACME\n                Name: acme\n    Sig"),
        (
            (4, b"aws", b"123456789012", b"InstanceID", b"i-1"),
            "  Provisioner: aws [ID: 1234...9012]\n",
            "CredentialID: 123456789012\n                InstanceID: i-1\n",
        ),
        ((77, b"new", b"short"), "  Provisioner: new [ID: short]\n", "Type: 77\n"),
        ((1, b"\x1b[2J\xff\n", b""), "  Provisioner: \\x1b[2J�\\n\n", "Name: \\x1b[2J�\\n\n"),
    ],
)
def test_the_provisioner_is_decoded(
    mica: Run,
    issue: Issue,
    provisioner_extension: Callable[..., x509.UnrecognizedExtension],
    extension: tuple[int, bytes, bytes],
    short: str,
    long: str,
) -> None:
    issue("c", (provisioner_extension(*extension), False))
    assert short in shown(mica("certificate", "inspect", "--short", "c"))
    assert long in shown(mica("certificate", "inspect", "c"))


@pytest.mark.parametrize(
    "value", [b"", b"\x30", b"\x30\x00", b"\x30\x03\x02\x01\x01", b"\x30\x84\xff\xff\xff\xff", b"\x04\x01a"]
)
def test_a_malformed_provisioner_extension_is_shown_raw(mica: Run, issue: Issue, value: bytes) -> None:
    issue("c", (x509.UnrecognizedExtension(PROVISIONER, value), False))
    assert "1.3.6.1.4.1.37476.9000.64.1:\n" in shown(mica("certificate", "inspect", "c"))
    assert "Provisioner" not in shown(mica("certificate", "inspect", "--short", "c"))
    assert "unknown_extensions" in shown(mica("certificate", "inspect", "--format", "json", "c"))


def test_a_malformed_standard_extension_is_shown_raw(mica: Run, issue: Issue) -> None:
    issue("c", (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"not a SAN"), True))
    assert "            2.5.29.17: critical\n                not a SAN\n" in shown(mica("certificate", "inspect", "c"))
    assert "  Subject:     svc.example\n  Issuer" in shown(mica("certificate", "inspect", "--short", "c"))


def test_a_ca_with_the_name_of_its_issuer_and_another_key_is_an_intermediate(mica: Run, issue: Issue) -> None:
    """A CA that has changed its key signs the new one with the old: self-issued, not self-signed (RFC 5280 §3.2)."""
    works = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Works")])
    ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    own, other = x509.SubjectKeyIdentifier(b"own"), x509.AuthorityKeyIdentifier(b"other", None, None)
    issue("c", ca, (own, False), (other, False), subject=works, issuer=works)
    assert shown(mica("certificate", "inspect", "--short", "c")).startswith("X.509v3 Intermediate CA Certificate")


def test_json_can_be_asked_for_as_everywhere(mica: Run, sample: Path) -> None:
    expected = shown(mica("certificate", "inspect", "--format", "json", sample))
    assert shown(mica("certificate", "inspect", "--json", sample)) == expected


def test_names_cannot_act_on_the_terminal_or_forge_rows(mica: Run, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    texts = {"CN": "a,O=Bank\n        Issuer: CN=Bank\x1b[31m\u202e", "OU": "ünü"}
    oids = {"CN": x509.NameOID.COMMON_NAME, "OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME}
    evil = x509.Name([x509.NameAttribute(oids[kind], text) for kind, text in texts.items()])
    request = x509.CertificateSigningRequestBuilder().subject_name(evil).sign(key, hashes.SHA256())
    (tmp_path / "c").write_bytes(request.public_bytes(serialization.Encoding.PEM))
    long = shown(mica("certificate", "inspect", "c"))
    assert "        Subject: CN=a\\,O=Bank\\n        Issuer: CN=Bank\\x1b[31m\\u202e,OU=ünü\n" in long
    text = shown(mica("certificate", "inspect", "--format", "json", "c"))
    assert "\x1b" not in text and "\u202e" not in text
    assert json.loads(text)["subject"]["common_name"] == ["a,O=Bank\n        Issuer: CN=Bank\x1b[31m\u202e"]


def test_the_first_of_several_is_shown_unless_bundle(mica: Run, openssl: OpenSSL, tmp_path: Path, sample: Path) -> None:
    openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "r", "-subj", "/CN=Root")
    both = (tmp_path / "k").read_text() + sample.read_text() + "some text\n" + (tmp_path / "r").read_text()
    (tmp_path / "both").write_text(both)
    assert shown(mica("certificate", "inspect", "--short", "both")) == SHORT
    bundle = shown(mica("certificate", "inspect", "--short", "--bundle", "both"))
    assert bundle.startswith(SHORT + "X.509v3 Root CA Certificate (Ed25519 256)")
    assert "\n\n" not in bundle
    as_json = json.loads(shown(mica("certificate", "inspect", "--bundle", "--format", "json", "both")))
    assert [found["subject_dn"] for found in as_json] == ["CN=svc.example", "CN=Root"]
    assert isinstance(json.loads(shown(mica("certificate", "inspect", "--bundle", "--format", "json", sample))), dict)
    pem = shown(mica("certificate", "inspect", "--bundle", "--format", "pem", "both"))
    assert pem == sample.read_text() + (tmp_path / "r").read_text()


def test_pem_der_crlf_and_a_utf8_mark_are_read_from_a_file_and_from_stdin(
    mica: Run, sample: Path, tmp_path: Path
) -> None:
    pem = sample.read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    for form in (pem, der, pem.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + pem, b"Bag Attributes\n  x: y\n" + pem):
        (tmp_path / "form").write_bytes(form)
        assert shown(mica("certificate", "inspect", "--short", "form")) == SHORT
        assert shown(mica("certificate", "inspect", "--short", "-", input=form)) == SHORT
        assert shown(mica("certificate", "inspect", "--short", input=form)) == SHORT


def test_it_imports_no_more_than_it_needs() -> None:
    program = "import sys; from mica.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", program, "certificate", "inspect", "--help"], capture_output=True, text=True, check=True
    )
    assert not {"cryptography", "ssl", "asyncio", "pluggy", "importlib.metadata", "json"} & set(result.stderr.split())


def test_showing_a_certificate_imports_neither_ssl_nor_the_formats_of_keys(sample: Path) -> None:
    program = "import sys; from mica.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", program, "certificate", "inspect", sample], capture_output=True, text=True, check=True
    )
    heavy = {"ssl", "asyncio", "pluggy", "importlib.metadata", "cryptography.hazmat.primitives.serialization"}
    assert not heavy & set(result.stderr.split())
