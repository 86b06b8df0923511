"""The provisioner extension: who vouched for a certificate. Written by mica and step-ca alike."""

from typing import NamedTuple

from mica_certtool.reading import asn1

OID = "1.3.6.1.4.1.37476.9000.64.1"

_TYPES = ("JWK", "OIDC", "GCP", "AWS", "Azure", "ACME", "X5C", "K8sSA", "SSHPOP", "SCEP", "Nebula")


class StepProvisioner(NamedTuple):
    """Its contents; ``pairs`` are further facts."""

    type: str
    name: str
    credential_id: str
    pairs: tuple[tuple[str, str], ...]


def decode(value: bytes) -> StepProvisioner:
    """The extension whose DER is ``value``; raises ValueError when it is none."""
    number, name, credential, *more = asn1.only(value).children()
    if number.tag != asn1.INTEGER:
        raise ValueError("the provisioner's type is not a number")
    texts = [element.contents.decode("utf-8", "replace") for element in (more[0].children() if more else [])]
    return StepProvisioner(
        type=_type(int.from_bytes(number.contents, "big", signed=True)),
        name=name.contents.decode("utf-8", "replace"),
        credential_id=credential.contents.decode("utf-8", "replace"),
        pairs=tuple(zip(texts[::2], texts[1::2], strict=False)),
    )


def _type(number: int) -> str:
    return _TYPES[number - 1] if 1 <= number <= len(_TYPES) else str(number)
