"""Serial numbers as people write them."""

import re

from mica.cli.errors import Usage

_DECIMAL = re.compile(r"[0-9]{1,49}", re.ASCII)
_LARGEST_OF_SSH = 2**64 - 1
_HEXADECIMAL = re.compile(r"0x[0-9a-f]{1,40}", re.ASCII | re.IGNORECASE)


def parse_serial(text: str) -> int:
    """A serial number, decimal or hexadecimal with ``0x``, colons allowed (RFC 5280 §4.1.2.2: at most 20 octets).

    Raises ValueError that says what it must be.
    """
    digits = text.replace(":", "") if text.lower().startswith("0x") else text
    if _DECIMAL.fullmatch(digits):
        return int(digits)
    if _HEXADECIMAL.fullmatch(digits):
        return int(digits, 16)
    raise ValueError(f"{text!r} is not a serial number: decimal, or hexadecimal with 0x")


def usable_serial(text: str) -> int:
    """The serial number in ``text``; raises Usage."""
    try:
        return parse_serial(text)
    except ValueError as error:
        raise Usage(
            str(error) if text else "missing argument 'SERIAL'",
            hint="give the serial number, or name the certificate with --cert and its key with --key",
        ) from error


def usable_ssh_serial(text: str) -> int:
    """The serial number of an SSH certificate in ``text`` (PROTOCOL.certkeys: a uint64); raises Usage."""
    remedy = "mica ssh inspect shows it; a key id is named with '--key-id'"
    try:
        number = parse_serial(text)
    except ValueError as error:
        raise Usage(str(error), hint=remedy) from error
    if not 0 < number <= _LARGEST_OF_SSH:
        raise Usage(f"{text!r} is no SSH certificate's serial number: from 1 to {_LARGEST_OF_SSH}", hint=remedy)
    return number
