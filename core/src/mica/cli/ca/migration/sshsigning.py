"""``[signers.ssh]`` and ``[plugin.sshsigner]``: the SSH keys of the old CA, and what it tells about them."""

from collections.abc import Iterator

from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.folder import is_file
from mica.cli.ca.migration.members import Members
from mica.cli.ca.migration.notes import note_rest
from mica.cli.ca.migration.places import Places
from mica.cli.ca.migration.plan import SSH, Copy, KeyFile, Setting
from mica.cli.ca.migration.sshpublickeys import PublicKeys
from mica.cli.kit import read_input
from mica.sshfoundation import HOST_KEY, HOST_PUBLIC_KEY, USER_KEY, USER_PUBLIC_KEY

#: By the type of certificate: the places of the key that signs and of its public half.
_PLACES = {"user": (USER_KEY, USER_PUBLIC_KEY), "host": (HOST_KEY, HOST_PUBLIC_KEY)}


class SSHSigning:
    """One import's SSH keys."""

    def __init__(self, places: Places, findings: Findings) -> None:
        self._places = places
        self._findings = findings

    def translate(self, ca: Members, authority: Members, *, backdate: str) -> SSH | None:
        """What ca.toml will say of SSH; None for a CA that signs no SSH certificates."""
        ssh = ca.members("ssh")
        if not ssh.table:
            return None
        keys = {
            f"{name}_key": key
            for name, (target, _) in _PLACES.items()
            if (key := self._places.key(f"ssh.{name}Key", ssh.text(f"{name}Key"), target))
        }
        if not keys:
            self._findings.missing("ssh", "it names no key that signs: no SSH certificates are issued")
            return None
        self._copy_public_keys(keys)
        listed = PublicKeys(self._findings, keys)
        for member in ssh.objects("keys"):
            listed.take(member)
        self._places.copies += listed.files()
        signer = [
            *(Setting(name=name, value=key.uri, origin=f"{key.item}; its password is the old one")
              for name, key in keys.items()),
            *listed.settings(federated=False),
            *self._add_user(ssh),
        ]  # fmt: skip
        if "host_key" in keys:
            origin = "hosts renew the old CA's certificates; see the same setting above"
            signer.append(Setting(name="renew_unrecorded", value=True, origin=origin))
        if backdate:
            signer.append(Setting(name="backdate", value=backdate, origin="authority.backdate"))
        service = [*listed.settings(federated=True), *self._service(ssh, authority)]
        note_rest(self._findings, ssh, {})
        self._findings.missing(
            "ssh: certificates",
            "they are not on record here; hosts' ones are renewed by their signature (renew_unrecorded)",
        )
        return SSH(keys=tuple(keys.values()), signer=tuple(signer), service=tuple(service))

    def _copy_public_keys(self, keys: dict[str, KeyFile]) -> None:
        """The public halves lie beside the certificates, where they did so before and files are copied."""
        for name, (_, target) in _PLACES.items():
            if (key := keys.get(f"{name}_key")) is None or not self._places.copying:
                continue
            source = self._places.folder.home / "certs" / f"{key.path.name}.pub"
            if is_file(source):
                self._places.place(
                    f"certs/{source.name}", source, Copy(path=target, contents=read_input(source), mode=0o644)
                )

    def _add_user(self, ssh: Members) -> Iterator[Setting]:
        """What the certificates that make users' accounts say."""
        for member, name in (("addUserPrincipal", "add_user_principal"), ("addUserCommand", "add_user_command")):
            if value := ssh.text(member):
                self._findings.taken(f"ssh.{member}", f"signers.ssh.{name} = {value}")
                yield Setting(name=name, value=value, origin=f"ssh.{member}")

    def _service(self, ssh: Members, authority: Members) -> Iterator[Setting]:
        """What clients are told besides the keys."""
        if bastion := self._bastion(ssh.members("bastion")):
            self._findings.taken("ssh.bastion", f"plugin.sshsigner.bastion, {bastion['hostname']}")
            yield Setting(name="bastion", value=bastion, origin="ssh.bastion")
        if authority.flag("disableGetSSHHosts"):
            self._findings.taken("authority.disableGetSSHHosts", "plugin.sshsigner.list_hosts = false")
            yield Setting(name="list_hosts", value=False, origin="authority.disableGetSSHHosts")

    def _bastion(self, bastion: Members) -> dict[str, str | int]:
        """Through what hosts are reached; empty when there is none that could be used."""
        told: dict[str, str | int] = {
            name: value for name in ("hostname", "user", "cmd", "flags") if (value := bastion.text(name))
        }
        if port := bastion.text("port"):
            if not (port.isascii() and port.isdecimal() and len(port) < 6):
                self._findings.faults.append(f"ssh.bastion.port: {port!r} is not a port number")
                return {}
            told["port"] = int(port)
        note_rest(self._findings, bastion, {})
        if told and "hostname" not in told:
            self._findings.left("ssh.bastion", "it has no hostname, and is used for no host", "nothing, if that is so")
            return {}
        return told
