"""A file that is not what it should be: one message says what it is instead, whichever command was given it."""

from collections.abc import Sequence

from mica import recognition
from mica.cli.errors import FileProblem

_BEGIN = b"-----BEGIN "
_SEQUENCE = b"\x30"
_ONCE_MORE = "get the file once more"
_REMEDIES = {
    recognition.REQUEST: "a CA makes a certificate of it: mica ca sign CSR CRT",
    recognition.PKCS12: "take the certificates out of it first: mica certificate p12 --extract FILE CRT",
    recognition.PKCS7: "take the certificates out of it first: openssl pkcs7 -print_certs -in FILE",
    recognition.TRUSTED_CERTIFICATE: "remove them: openssl x509 -in FILE",
}


def mistaken(data: bytes, place: object, *wanted: str) -> FileProblem:
    """Why ``data``, which is from ``place``, is of no use where one of ``wanted`` is: words of ``mica.recognition``."""
    data = data.removeprefix(recognition.UTF8_MARK)  # Windows' editors write it
    either = one_of(wanted)
    if not data.strip():
        return FileProblem(f"{place}: is empty", hint=f"{either} is needed")
    if data.startswith(recognition.UTF16_MARKS):
        return FileProblem(f"{place}: is UTF-16 text", hint="save it as plain ASCII")
    labels = recognition.labels(data)
    if _BEGIN in data and not labels:
        return cut_off(place)
    if any(recognition.of_labels([label]) in wanted for label in labels):
        return damaged(place)
    words = recognition.recognize(data)
    if words in wanted or (words is None and data.startswith(_SEQUENCE)):
        return FileProblem(f"{place}: is damaged, or is not {either} in DER", hint=_ONCE_MORE)
    if words is None:
        return FileProblem(f"{place}: holds neither PEM nor DER", hint=f"name {either}")
    return FileProblem(f"{place}: holds {words}, not {either}", hint=_remedy(words, either))


def damaged(place: object) -> FileProblem:
    """What to say of a PEM block that holds nothing readable."""
    return FileProblem(f"{place}: is damaged: what its PEM block holds cannot be read", hint=_ONCE_MORE)


def cut_off(place: object) -> FileProblem:
    """What to say of a PEM block without an end."""
    return FileProblem(f"{place}: is cut off: its PEM block has no end", hint=_ONCE_MORE)


def one_of(wanted: Sequence[str]) -> str:
    """``wanted`` as a sentence has it: a, b or c."""
    return " or ".join(filter(None, (", ".join(wanted[:-1]), wanted[-1])))


def _remedy(words: str, either: str) -> str:
    if recognition.CERTIFICATE not in either:
        return f"name {either}"
    return _REMEDIES.get(words, f"name {either}")
