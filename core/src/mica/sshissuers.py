"""The SSH issuer: the signer of ``[signers.ssh]``, with everything about it that is the same for every certificate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from mica import principals, sshoptions
from mica.config import SSHSignerConfig
from mica.errors import ConfigError, Unsupported
from mica.records import CertificateId, CertificateKind
from mica.roles import SSHSigner
from mica.sshcert import CertType
from mica.sshkeys import SSHPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHIssuer:
    """A signer, and what the core writes into every certificate that it signs."""

    signer: SSHSigner
    backdate: timedelta
    add_user_principal: str
    """Whom the certificates that make accounts are for."""
    add_user_command: str
    """What they do; ``<principal>`` stands for the account."""
    keys: Mapping[CertType, tuple[SSHPublicKey, ...]]
    """What certificates of each type are believed by, the key that signs first."""
    renew_unrecorded: bool = False
    """The signature of a host's certificate stands in for a record that is missing."""

    @classmethod
    def of(cls, signer: SSHSigner, config: SSHSignerConfig) -> "SSHIssuer":
        """The issuer that signs with ``signer``; raises ConfigError when its keys or its table will not do."""
        keys = {cert_type: tuple(signer.authority_keys(cert_type)) for cert_type in CertType}
        faults = [
            f"a {cert_type.name.lower()} CA key ({key.fingerprint}): {fault}"
            for cert_type, found in keys.items()
            for key in found
            for fault in key.authority_faults()
        ]
        if not any(keys.values()):
            faults.append("it has neither a user_key nor a host_key; make one of them at least")
        command = (("force-command", config.add_user_command),)
        faults += [f"add_user_principal: {fault}" for fault in principals.faults((config.add_user_principal,))]
        faults += [f"add_user_command: {fault}" for fault in sshoptions.faults(command, (), CertType.USER)]
        if faults:
            raise ConfigError(faults)
        return cls(
            signer=signer,
            backdate=config.backdate,
            add_user_principal=config.add_user_principal,
            add_user_command=config.add_user_command,
            keys=keys,
            renew_unrecorded=config.renew_unrecorded,
        )

    def key(self, cert_type: CertType) -> SSHPublicKey:
        """The key that signs certificates of this type; raises Unsupported when there is none."""
        if not self.keys[cert_type]:
            raise Unsupported("")
        return self.keys[cert_type][0]

    def all_keys(self) -> Iterator[tuple[CertType, SSHPublicKey]]:
        """Every key, with the type of the certificates that it is for."""
        return ((cert_type, key) for cert_type, found in self.keys.items() for key in found)


def id_of(key: SSHPublicKey, serial: int) -> CertificateId:
    """What the certificate that ``key`` signed under this serial is recorded under."""
    return CertificateId(kind=CertificateKind.SSH, issuer=key.digest, serial_number=serial)
