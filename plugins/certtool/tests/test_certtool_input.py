"""What is no certificate: one clear line, exit code 5, nothing on stdout."""

import contextlib
import itertools
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pexpect
import pytest
from cryptography import x509

from mica.cli.kit import FileProblem, lint_certificate
from mica_certtool.judging.judgement import Question, judge
from mica_certtool.judging.validation import Demands
from mica_certtool.reading import documents, layouts, members

Run = Callable[..., subprocess.CompletedProcess[str]]

KEY = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("command", ["inspect", "fingerprint"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin: is empty"),
        (b" \r\n", "stdin: is empty"),
        (b"\xef\xbb\xbf", "stdin: is empty"),
        (b"\xff\xfe-\x00-\x00", "stdin: is UTF-16 text"),
        (KEY, "stdin: holds a private key, not a certificate or a certificate signing request\nhint: name a"),
        (KEY[:40], "stdin: is cut off: its PEM block has no end"),
        (KEY + b"-----BEGIN CERTIFICATE-----\nMIIB", "stdin: is cut off: its PEM block has no end"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "stdin: is cut off: its PEM block has no end"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "stdin: is damaged: "),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "stdin: is damaged: "),
        (b"-----BEGIN CERTIFICATE-----\n0\x82\x01\x01\n-----END CERTIFICATE-----\n", "stdin: is damaged: "),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "stdin: is damaged: "),
        (b"hello\n", "stdin: holds neither PEM nor DER"),
        (bytes(range(256)), "stdin: holds neither PEM nor DER"),
        (b'{"kty": "EC"}', "stdin: holds a JSON Web Key, not a certificate"),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "stdin: holds a token (JWT), not a certificate"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b", "stdin: holds an SSH public key or certificate, not a certificate"),
        (b"MIIBszCCAVmgAwIBAgIU", "stdin: holds base64 without its PEM lines, not a certificate"),
        (b"0\x82\x01\x01", "stdin: is damaged, or is not a certificate or a certificate signing request in DER"),
        (b"0\x84\xff\xff\xff\xff", "stdin: is damaged, or is not a certificate or a certificate signing request in"),
    ],
)
def test_what_is_no_certificate_is_told_in_one_line(mica: Run, command: str, data: bytes, message: str) -> None:
    result = mica("certificate", command, input=data)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") <= 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("pkey -in k -outform DER", "a private key"),
        ("pkey -in k -traditional -outform DER", "a private key"),
        ("rsa -in rk -traditional -outform DER", "a private key"),
        ("pkcs8 -topk8 -in k -passout pass:1234 -outform DER", "an encrypted private key"),
        ("pkcs8 -topk8 -in k -passout pass:1234", "an encrypted private key"),
        ("pkey -in k -pubout", "a public key"),
        ("pkey -in k -pubout -outform DER", "a public key"),
        ("rsa -in rk -RSAPublicKey_out -outform DER", "a public key"),
        ("ecparam -name prime256v1", "parameters of a key"),
        ("pkcs12 -export -in c -inkey k -passout pass:1234", "a PKCS #12 file"),
        ("pkcs12 -export -in c -inkey k -passout pass:1234 -legacy", "a PKCS #12 file"),
        ("crl2pkcs7 -nocrl -certfile c", "a PKCS #7 bundle"),
        ("crl2pkcs7 -nocrl -certfile c -outform DER", "a PKCS #7 bundle"),
        ("x509 -in c -trustout", "a certificate with OpenSSL's trust settings"),
        ("req -new -key k -subj /CN=a", "a certificate signing request"),
        ("req -new -key k -subj /CN=a -outform DER", "a certificate signing request"),
    ],
)
def test_what_openssl_makes_is_recognised(
    mica: Run, openssl: Callable[..., str], stock: Callable[..., Path], make: str, words: str
) -> None:
    certificate = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out c -subj /CN=a"
    stock(certificate, "genrsa -out rk 2048")
    openssl(*make.split(), "-out", "made")
    result = mica("certificate", "verify", "made", "--roots", "c")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"error: made: holds {words}, not a certificate\nhint: ")
    assert result.stderr.count("\n") == 2
    if "request" not in words:
        assert f"made: holds {words}, not a certificate or" in mica("certificate", "inspect", "made").stderr


def test_the_certificate_is_found_beside_its_key_and_under_its_old_label(
    mica: Run, openssl: Callable[..., str], sample: Path, tmp_path: Path
) -> None:
    expected = mica("certificate", "fingerprint", sample).stdout
    pem = sample.read_bytes()
    for data in (KEY + pem, pem.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-"), pem + KEY, b"junk\n" + pem):
        assert mica("certificate", "fingerprint", input=data).stdout == expected


@pytest.mark.parametrize("block", [b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN X-----\n", b"-----END X-----\n"])
def test_a_file_of_marks_alone_takes_no_time(mica: Run, block: bytes) -> None:
    result = mica("certificate", "inspect", input=block * 400_000)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.count("\n") == 2


def test_the_damaged_block_of_several_is_named(mica: Run, sample: Path) -> None:
    damaged = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    result = mica("certificate", "inspect", "--bundle", input=sample.read_bytes() + damaged)
    assert result.returncode == 5
    assert "error: stdin: block 2: is damaged" in result.stderr


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.crt", "missing.crt: there is no such file"),
        (".", ".: is a directory"),
        ("/dev/zero", "/dev/zero: is larger than 16 MiB"),
        ("x" * 300, "cannot be read: file name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(mica: Run, file: str, message: str) -> None:
    result = mica("certificate", "inspect", file)
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr


def test_der_with_something_after_it_is_refused(mica: Run, openssl: Callable[..., str], tmp_path: Path) -> None:
    openssl(
        "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "c", "-outform", "DER", "-subj", "/CN=a"
    )
    assert mica("certificate", "inspect", "c").returncode == 0
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes() + b"x")
    assert mica("certificate", "inspect", "c").returncode == 5


@pytest.mark.parametrize("kind", ["certificate", "request"])
def test_a_damaged_document_is_shown_or_refused(openssl: Callable[..., str], tmp_path: Path, kind: str) -> None:
    """Each octet is changed in turn: there is text, or FileProblem, or ValueError; nothing else is raised."""
    openssl(
        "req", "-new", *(["-x509"] if kind == "certificate" else []), "-newkey", "ed25519", "-nodes", "-keyout", "k",
        "-out", "c", "-outform", "DER", "-subj", "/CN=a", "-addext", "subjectAltName=DNS:a.example,IP:10.0.0.1",
        "-addext", "keyUsage=digitalSignature", "-addext", "1.3.6.1.4.1.37476.9000.64.1=DER:300802010104016104006161",
    )  # fmt: skip
    data = (tmp_path / "c").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place, flip in itertools.product(range(len(data)), (0x01, 0x80, 0xFF)):
            damaged = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            with contextlib.suppress(FileProblem):
                (found,) = documents.parse(damaged, "c")
                for show in (lambda document: layouts.long(document, datetime.now(UTC)), layouts.short, members.of):
                    with contextlib.suppress(ValueError, IndexError):
                        show(found)


def test_a_terminal_on_stdin_is_not_waited_for(tmp_path: Path) -> None:
    child = pexpect.spawn(sys.executable, ["-m", "mica.cli", "certificate", "inspect"], encoding="utf-8", timeout=20)
    child.expect("error: there is no certificate on stdin")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


def test_a_closed_pipe_is_quiet(sample: Path) -> None:
    command = f"{sys.executable} -m mica.cli certificate inspect {sample} | true"
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True).stderr == ""


def test_a_damaged_certificate_is_judged_or_refused(openssl: Callable[..., str], tmp_path: Path) -> None:
    """Each octet is changed in turn: ``verify`` and ``lint`` have an answer, or there is FileProblem."""
    openssl(
        "req", "-new", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "k", "-out", "c", "-outform", "DER",
        "-subj", "/CN=a/emailAddress=a@b.example", "-addext", "subjectAltName=DNS:a.example,IP:10.0.0.1",
        "-addext", "keyUsage=digitalSignature,keyCertSign", "-addext", "nameConstraints=permitted;DNS:example",
        "-addext", "extendedKeyUsage=serverAuth",
    )  # fmt: skip
    data, file = (tmp_path / "c").read_bytes(), tmp_path / "damaged"
    (good,) = documents.certificates_in(str(tmp_path / "c"))
    demands = Demands(at=datetime.now(UTC), purpose="server", host=x509.DNSName("a.example"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place, flip in itertools.product(range(len(data)), (0x01, 0x80)):
            damaged = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            assert all(isinstance(finding, str) for finding in lint_certificate(damaged, [data]))
            file.write_bytes(damaged)
            with contextlib.suppress(FileProblem):
                given = tuple(documents.certificates_in(str(file)))
                question = Question(
                    given=given, others=(), anchors=(good,), lists=None, demands=demands, is_server=False
                )
                assert not judge(question).holds
