"""What commands on SSH keys and certificates read: ``.pub`` and ``authorized_keys`` files, and stdin."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mica.cli.errors import FileProblem, Usage
from mica.cli.files import read_input

if TYPE_CHECKING:
    from mica.sshcert import SSHCertificate
    from mica.sshkeys import KeyLine, SSHPublicKey

_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_SEQUENCE = b"\x30"
_THE_PUBLIC_HALF = "name the .pub file beside it"
#: How files begin that people mistake for SSH keys → what they are, and what to do.
_BEGINNINGS = (
    (b"---- BEGIN SSH2", "is a public key as RFC 4716 has it", "convert it first: ssh-keygen -i -f FILE"),
    (b"PuTTY-User-Key-File", "is a private key of PuTTY's", "export the public half of it from PuTTYgen"),
    (b"SSHKRL\n", "is a key revocation list", "show it with: ssh-keygen -Q -l -f FILE"),
    (b"eyJ", "is a token (JWT)", "show it with: mica crypto jwt inspect"),
    (b"{", "is JSON", None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line that holds a key or a certificate."""

    place: str
    """How messages call it: the file, and the line when it is not alone."""
    number: int
    line: "KeyLine"

    def certificate(self) -> "SSHCertificate":
        """The certificate; raises FileProblem."""
        from mica.sshcert import SSHCertificate
        from mica.sshwire import MalformedSSH

        if not self.line.is_certificate:
            raise FileProblem(
                f"{self.place}: holds an SSH public key ({self.line.key_type}), not a certificate",
                hint="the certificate for id_ecdsa.pub is usually in id_ecdsa-cert.pub",
            )
        try:
            return SSHCertificate.decode(self.line.blob)
        except MalformedSSH as error:
            raise FileProblem(f"{self.place}: cannot be read: {error}") from error

    def key(self) -> "SSHPublicKey":
        """The key, or the key that the certificate is for; raises FileProblem."""
        from mica.sshkeys import SSHPublicKey
        from mica.sshwire import MalformedSSH

        if self.line.is_certificate:
            return self.certificate().tbs.public_key
        try:
            return SSHPublicKey.decode(self.line.blob)
        except MalformedSSH as error:
            raise FileProblem(f"{self.place}: cannot be read: {error}") from error


def entries(file: str | None) -> list[Entry]:
    """The keys and certificates in ``file``, at least one; nothing and ``-`` are stdin. Raises FileProblem, Usage."""
    if file is None and sys.stdin is not None and sys.stdin.isatty():
        raise Usage("there is no SSH certificate on stdin", hint="name a file, or - and write to stdin")
    place = "stdin" if file in (None, "-") else str(file)
    data = read_input("-" if file is None else file).removeprefix(_UTF8_MARK)
    _refuse_others(data, place)
    lines = [(number, line.strip()) for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1)]
    filled = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not filled:
        raise FileProblem(f"{place}: holds nothing but comments", hint="an SSH public key or certificate is needed")
    return [_entry(line, number, place if len(filled) == 1 else f"{place}: line {number}") for number, line in filled]


def _entry(text: str, number: int, place: str) -> Entry:
    from mica.sshkeys import KeyLine
    from mica.sshwire import MalformedSSH

    try:
        return Entry(place=place, number=number, line=KeyLine.parse(text, place))
    except MalformedSSH as error:
        raise FileProblem(str(error), hint="a line is a type (ssh-…, ecdsa-…, sk-…), base64, and a comment") from error


def _refuse_others(data: bytes, place: str) -> None:
    if not data.strip():
        raise FileProblem(f"{place}: is empty", hint="an SSH public key or certificate is needed")
    if data.startswith(_UTF16_MARKS):
        raise FileProblem(f"{place}: is UTF-16 text", hint="save it as plain ASCII")
    if data.startswith(_SEQUENCE) and len(data) > 1 and (data[1] & 0x80 or data[1] == len(data) - 2):  # X.690 §8.1.3
        raise FileProblem(
            f"{place}: is DER, not an SSH public key or certificate",
            hint="an X.509 file is shown by: mica certificate inspect FILE",
        )
    for beginning, what, remedy in _BEGINNINGS:
        if data.lstrip(b" \t\r\n").startswith(beginning):
            raise FileProblem(f"{place}: {what}, not an SSH public key or certificate", hint=remedy)
    _, found, rest = data.partition(b"-----BEGIN ")
    if found:
        label = rest[:64].partition(b"-----")[0].decode("ascii", "replace")
        what, remedy = _of_label(label)
        raise FileProblem(f"{place}: holds {what}, not an SSH public key or certificate", hint=remedy)


def _of_label(label: str) -> tuple[str, str]:
    if label.endswith("PRIVATE KEY"):
        return "a private key", _THE_PUBLIC_HALF
    if label.endswith("CERTIFICATE"):
        return "an X.509 certificate", "show it with: mica certificate inspect FILE"
    if label.endswith("PUBLIC KEY"):
        return "a public key in PEM", "convert it first: ssh-keygen -i -m PKCS8 -f FILE"
    return f"a block {label!r}", "name an SSH public key or certificate"
