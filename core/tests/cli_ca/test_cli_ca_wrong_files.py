"""Files of the wrong kind, made by openssl, and outputs that would cost what is read: told, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOWHERE = ["--ca-url", "https://127.0.0.1:1", "--force"]


@pytest.fixture
def holder(machine: Any, ca: Any) -> Any:
    """A machine with a certificate in ``svc.crt``, its key in ``svc.key`` and a request in ``svc.csr``."""
    machine.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key")
    machine.openssl("req", "-new", "-key", "svc.key", "-subj", "/CN=svc.example", "-out", "svc.csr")
    return machine


def wrong_files(holder: Any) -> Iterator[tuple[str, str, str]]:
    """What should be a certificate and a request, and what is said of it: in place of each."""
    secret = ["-passout", "pass:x"]
    openssl, path = holder.openssl, holder.path
    openssl("pkcs12", "-export", "-in", "svc.crt", "-inkey", "svc.key", *secret, "-out", "p12")
    openssl("crl2pkcs7", "-nocrl", "-certfile", "svc.crt", "-out", "p7")
    openssl("pkey", "-in", "svc.key", "-outform", "DER", "-out", "der")
    openssl("pkey", "-in", "svc.key", "-aes128", *secret, "-out", "encrypted")
    openssl("pkey", "-in", "svc.key", "-pubout", "-out", "public")
    path("cut").write_bytes(path("svc.crt").read_bytes()[:300])
    path("wide").write_text(path("svc.csr").read_text(), encoding="utf-16")
    path("json").write_text('{"a": 1}')
    path("jwk").write_text('{"kty": "EC"}')
    path("blank").write_bytes(b"\xef\xbb\xbf\r\n")
    said = {
        "p12": "holds a PKCS #12 file, not {}",
        "p7": "holds a PKCS #7 bundle, not {}",
        "der": "holds a private key, not {}",
        "encrypted": "holds an encrypted private key, not {}",
        "public": "holds a public key, not {}",
        "cut": "is cut off",
        "wide": "is UTF-16 text",
        "json": "holds JSON, not {}",
        "jwk": "holds a JSON Web Key, not {}",
        "blank": "is empty",
    }
    request, certificate = "a certificate signing request", "a certificate"
    for name, words in said.items():
        yield name, words.format(certificate), words.format(request)
    yield "svc.csr", f"holds {request}, not {certificate}", ""
    yield "svc.crt", "", f"holds {certificate}, not {request}"


def test_a_file_of_the_wrong_kind_is_named_for_what_it_is(holder: Any) -> None:
    for name, in_place_of_a_certificate, in_place_of_a_request in wrong_files(holder):
        for words, command in (
            (in_place_of_a_certificate, ["renew", name, "svc.key", *NOWHERE]),
            (in_place_of_a_certificate, ["revoke", "--cert", name, "--key", "svc.key", *NOWHERE[:2]]),
            (in_place_of_a_certificate, ["health", "--root", name]),
            (in_place_of_a_request, ["sign", name, "new.crt", *NOWHERE]),
        ):
            if words:
                error = holder.mica("ca", *command, code=5).err.splitlines()
                assert error[0].startswith(f"error: {name}: {words}")
                assert len(error) == 2
                assert error[1].startswith("hint: ")
    assert not holder.path("new.crt").exists()


def test_a_root_is_trusted_from_der_and_from_text_with_the_mark_and_the_line_ends_of_windows(
    machine: Any, ca: Any
) -> None:
    machine.openssl("x509", "-in", str(ca.root), "-outform", "DER", "-out", "root.der")
    described = "Harbour: Größe\n" + ca.root.read_text()
    machine.path("root.crt").write_bytes(b"\xef\xbb\xbf" + described.replace("\n", "\r\n").encode())
    for name in ("root.der", "root.crt"):
        assert machine.mica("ca", "health", "--root", name).out == "ok\n"


@pytest.mark.parametrize(
    ("arguments", "lost"),
    [
        (["renew", "svc.crt", "svc.key", "--out", "svc.key"], "svc.key"),
        (["renew", "both.pem", "both.pem"], "both.pem"),
        (["renew", "both.pem", "both.pem", "--daemon"], "both.pem"),
        (["rekey", "svc.crt", "svc.key", "--out-cert", "svc.key"], "svc.key"),
        (["rekey", "svc.crt", "svc.key", "--out-key", "svc.crt"], "svc.crt"),
        (["rekey", "svc.crt", "svc.key", "--out-cert", "other.key", "--private-key", "other.key"], "other.key"),
        (["sign", "svc.csr", "svc.csr"], "svc.csr"),
        (["sign", "svc.csr", "link"], "svc.csr"),
        (["sign", "svc.csr", "new.crt", "--chain-out", "svc.csr"], "svc.csr"),
        (["token", "svc.example", "--renew", "--x5c-cert", "svc.crt", "--x5c-key", "svc.key", "--out", "svc.key"],
         "svc.key"),
    ],
)  # fmt: skip
def test_force_does_not_allow_an_output_in_place_of_what_is_read(holder: Any, arguments: list[str], lost: str) -> None:
    holder.openssl("genpkey", "-algorithm", "ED25519", "-out", "other.key")
    holder.write("both.pem", holder.path("svc.crt").read_text() + holder.path("svc.key").read_text())
    holder.path("link").symlink_to("svc.csr")
    before = {file: file.read_bytes() for file in sorted(Path(holder.folder).iterdir())}
    said = holder.mica("ca", *arguments, *NOWHERE, code=2).err
    assert f"would take the place of {lost}, which is read\nhint: give another name" in said
    assert {file: file.read_bytes() for file in sorted(Path(holder.folder).iterdir())} == before


def test_stdin_is_no_output(holder: Any) -> None:
    said = holder.mica("ca", "sign", "svc.csr", "-", *NOWHERE, code=2).err
    assert "error: - is stdin, and nothing can be written there\nhint: /dev/stdout is stdout\n" in said
    assert not holder.path("-").exists()
