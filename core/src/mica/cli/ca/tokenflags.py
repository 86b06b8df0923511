"""What the flags of ``mica ca token`` say together: which operation the token is for, and what it is to order."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from mica.cli.ca.x5cflags import pair_faults
from mica.cli.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mica.grants import Operation
    from mica.sshcert import Options

When = datetime | timedelta | None


class Purpose(NamedTuple):  # dataclasses are slow to import
    """What a token is for, in the words of ``TokenOrder``."""

    operation: "Operation"
    subject: str
    sans: tuple[str, ...] = ()
    extra: "Mapping[str, Any] | None" = None


class Flags(NamedTuple):
    """The flags that say it."""

    subject: str | None
    sans: tuple[str, ...]
    action: tuple[str, ...]
    """Those of ``--revoke``, ``--renew`` and ``--rekey`` that were given; none is signing."""
    ssh: bool
    host: bool
    principals: tuple[str, ...]
    key_id: str | None
    cert_validity: tuple[When, When]
    critical_options: "Options"
    x5c: "tuple[Path | None, Path | None]"
    sshpop: "tuple[Path | None, Path | None]"
    cnf: "tuple[str | None, Path | None]"
    key_file: "Path | None"
    x5c_chain: "tuple[Path, ...]" = ()
    validity: tuple[When, When] = (None, None)
    """The token's own."""

    @property
    def binding(self) -> tuple[str, ...]:
        """Those that were given of the flags whose meaning only a token that is made for it has."""
        said = [
            *self._for_x509(),
            *self._for_signing(),
            ("--key-id", self.key_id is not None),
            ("--not-before", self.validity[0] is not None),
            ("--not-after", self.validity[1] is not None),
            ("--key", self.key_file is not None),
        ]
        return tuple(flag for flag, value in said if value)

    @property
    def verb(self) -> str:
        """``sign``, ``revoke``, ``renew`` or ``rekey``."""
        return self.action[0].removeprefix("--") if self.action else "sign"

    def check(self) -> None:
        """They make sense together; raises Usage."""
        if len(self.action) > 1:
            raise Usage(f"flag '{self.action[0]}' is incompatible with '{self.action[1]}'")
        for fault in self._ssh_faults() if self.ssh else self._x509_faults():
            raise Usage(fault)
        if self.key_file is not None and (self.x5c[1] or self.sshpop[1]) is not None:
            raise Usage("flag '--key' is incompatible with '--x5c-key' and '--sshpop-key': a token has one signature")
        if None not in self.cnf:
            raise Usage("flag '--cnf' is incompatible with '--cnf-file'")
        says_itself = self.sshpop != (None, None) or (self.verb == "renew" and self.x5c != (None, None))
        if not self.subject and self.key_id is None and not says_itself:
            raise Usage("missing argument 'SUBJECT'")

    def purpose(self) -> Purpose:
        """What it is for; raises Usage when no certificate could be so."""
        return self._ssh_purpose() if self.ssh else self._x509_purpose()

    def _x509_faults(self) -> "Iterator[str]":
        for flag, value in self._for_ssh():
            if value:
                yield f"flag '{flag}' requires the '--ssh' flag"
        if self.verb == "renew" and None in self.x5c:
            yield "flag '--renew' requires the flags '--x5c-cert' and '--x5c-key'"
        yield from pair_faults(*self.x5c, self.x5c_chain)
        if self.verb == "renew" and self.x5c_chain:
            yield "flag '--x5c-chain' is not for '--renew': the CA knows the issuers of its own certificates"
        if self.action and (self.sans or self.cnf != (None, None)):
            yield "flags '--san', '--cnf' and '--cnf-file' are for tokens that order a certificate"

    def _for_ssh(self) -> list[tuple[str, object]]:
        """What is said that only ``--ssh`` gives a meaning."""
        return [
            ("--rekey", self.verb == "rekey"),
            *self._for_signing(),
            ("--key-id", self.key_id is not None),
            *zip(("--sshpop-cert", "--sshpop-key"), self.sshpop, strict=True),
        ]

    def _for_x509(self) -> list[tuple[str, object]]:
        """What has no meaning with ``--ssh``."""
        return [
            ("--san", self.sans),
            *zip(("--cnf", "--cnf-file"), self.cnf, strict=True),
        ]

    def _for_signing(self) -> list[tuple[str, object]]:
        """What only the order of a certificate says."""
        return [
            ("--host", self.host),
            ("--principal", self.principals),
            ("--cert-not-before", self.cert_validity[0] is not None),
            ("--cert-not-after", self.cert_validity[1] is not None),
            ("--force-command' and '--source-address", self.critical_options),
        ]

    def _ssh_faults(self) -> "Iterator[str]":
        for flag, value in self._for_x509():
            if value:
                yield f"flag '{flag}' is incompatible with '--ssh'"
        yield from pair_faults(*self.x5c, self.x5c_chain)
        if self.x5c[0] is not None and self.sshpop[0] is not None:
            yield "flag '--x5c-cert' is incompatible with '--sshpop-cert': a token has one signature"
        if self.x5c[0] is not None and self.action:
            yield f"flag '--x5c-cert' is incompatible with '--ssh' and '{self.action[0]}': it only orders certificates"
        if (self.sshpop[0] is None) != (self.sshpop[1] is None):
            yield "flags '--sshpop-cert' and '--sshpop-key' require each other"
        if self.verb in ("renew", "rekey") and self.sshpop[0] is None:
            yield f"flag '--{self.verb}' requires the flags '--sshpop-cert' and '--sshpop-key'"
        if self.verb == "sign" and self.sshpop[0] is not None:
            yield "flags '--sshpop-cert' and '--sshpop-key' are for '--renew', '--rekey' and '--revoke'"
        for flag, value in self._for_signing() if self.action else ():
            if value:
                yield f"flag '{flag}' is for tokens that order a certificate"
        if self.key_id is not None and (self.verb != "revoke" or self.subject or self.sshpop[0] is not None):
            yield "flag '--key-id' is for '--revoke', instead of SUBJECT"

    def _x509_purpose(self) -> Purpose:
        from mica.cli.ca import csrs  # cryptography is slow to import
        from mica.cli.serials import usable_serial
        from mica.grants import Operation

        subject = self.subject or ""
        if self.verb == "renew":  # by the certificate's own key, which says whose it is
            return Purpose(Operation.X509_RENEW, subject)
        if self.verb == "revoke":
            return Purpose(Operation.X509_REVOKE, str(usable_serial(subject)))
        csrs.check_names(self.sans or (subject,))
        return Purpose(Operation.X509_SIGN, subject, self.sans or (subject,))

    def _ssh_purpose(self) -> Purpose:
        from mica.cli.serials import usable_ssh_serial
        from mica.cli.ssh.issuing import orders  # cryptography is slow to import
        from mica.grants import Operation
        from mica.sshcert import CertType

        if self.action:
            operation = Operation(f"ssh-{self.verb}")
            if self.key_id is not None:
                orders.check_key_id(self.key_id)
                return Purpose(operation, self.key_id, extra={"step": {"ssh": {"keyID": self.key_id}}})
            return Purpose(operation, str(usable_ssh_serial(self.subject)) if self.subject else "")
        cert_type = CertType.HOST if self.host else CertType.USER
        asked = orders.asked(self.subject or "", cert_type, self.principals, self.cert_validity, self.critical_options)
        order = orders.completed(asked)
        return Purpose(Operation.SSH_SIGN, order.key_id, extra=order.claims)
