"""From what a step-ca's files say to a plan of ca.toml and the files beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes

from mica.cli.ca.migration import notes
from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.folder import StepFolder, read_json
from mica.cli.ca.migration.members import Members
from mica.cli.ca.migration.places import Places
from mica.cli.ca.migration.plan import Plan
from mica.cli.ca.migration.policies import policy_table
from mica.cli.ca.migration.provisioners import Provisioners, claims_table
from mica.cli.ca.migration.signing import Signing, note_root_key
from mica.cli.ca.migration.sshsigning import SSHSigning
from mica.cli.kit import FileProblem
from mica.client.urls import normalize
from mica.config import split_address

_DNS_NAMES = ("localhost", "127.0.0.1", "::1")


class Translation:
    """The work of understanding one old CA. Whatever it meets is among the findings."""

    def __init__(self, folder: StepFolder, findings: Findings) -> None:
        self._folder = folder
        self._findings = findings
        self._ca = Members(folder.ca, "", findings.faults)
        self._authority = self._ca.members("authority")

    @property
    def password(self) -> str:
        """What ``password`` of ca.json says; step-ca opens its keys with it."""
        return self._ca.text("password")

    def plan(
        self, home: Path, *, copying: bool, url: str | None, provisioners: str | None, revoked: int | None
    ) -> Plan | None:
        """What is to be written below ``home``; None when there are faults. ``revoked``: how many numbers are given."""
        findings, ca, authority = self._findings, self._ca, self._authority
        address, dns_names = self._address(), self._dns_names()
        found_url, origin = self._url(url, address, dns_names)
        if common_name := ca.text("commonName"):
            findings.taken("commonName", f"common_name = {common_name}")
        places = Places(self._folder, findings, copying=copying)
        signer = Signing(places, findings).translate(ca, authority)
        ssh = SSHSigning(places, findings).translate(ca, authority, backdate=signer.backdate if signer else "")
        claims = claims_table(authority.members("claims"), findings)
        if claims:
            findings.taken("authority.claims", f"[claims]: {', '.join(claims)}")
        table = self._provisioners(provisioners, claims)
        policy = policy_table(authority.members("policy"), findings)
        self._note_database(revoked)
        self._note_the_rest()
        if signer is None or findings.faults:
            return None
        return Plan(
            source=self._folder.ca_json,
            url=found_url,
            url_origin=origin,
            address=address,
            dns_names=dns_names,
            common_name=common_name,
            claims=claims,
            policy=policy,
            signer=signer,
            ssh=ssh,
            provisioners=tuple(table.taken),
            untaken=tuple(table.untaken),
            copies=tuple(places.copies),
            defaults=self._defaults(home, found_url, signer.roots[0], signer.root.fingerprint(hashes.SHA256()).hex()),
        )

    def _address(self) -> str:
        address = self._ca.text("address")
        try:
            split_address(address)
        except ValueError:
            self._findings.faults.append(f"address: {address!r} is not host:port")
            return ""
        self._findings.taken("address", address)
        return address

    def _dns_names(self) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(self._ca.texts("dnsNames"))) or _DNS_NAMES
        self._findings.taken("dnsNames", ", ".join(names))
        return names

    def _url(self, given: str | None, address: str, dns_names: Sequence[str]) -> tuple[str, str]:
        """The URL of the CA, and where it is from."""
        told = self._folder.defaults.get("ca-url")
        try:
            if given:
                url, origin = given, "--with-ca-url"
            elif isinstance(told, str) and told:
                url, origin = normalize(told), "ca-url of defaults.json"
            else:
                host = f"[{dns_names[0]}]" if ":" in dns_names[0] else dns_names[0]
                _, port = split_address(address) if address else ("", 443)
                url, origin = normalize(f"https://{host}:{port}"), "the first of dnsNames, and the port of address"
        except ValueError as error:
            self._findings.faults.append(f"ca-url of defaults.json: {error}")
            return "", ""
        self._findings.taken("URL", f"{url}, from {origin}; tokens for another port are refused")
        if (urlsplit(url).hostname or "").casefold() not in [name.strip("[]").casefold() for name in dns_names]:
            self._findings.left(
                "URL",
                f"its host is none of dnsNames: clients that use {url} are refused",
                "add it to dns_names, or name the right URL with --with-ca-url",
            )
        return url, origin

    def _provisioners(self, file: str | None, claims: dict[str, Any]) -> Provisioners:
        translated = Provisioners(self._folder, self._findings, claims)
        if file is not None:
            translated.translate(_listed(file, self._findings.faults), file)
        remote = self._authority.flag("enableAdmin")
        if remote and file is None:
            self._findings.faults.append(
                "authority.enableAdmin: the provisioners are in the database, which cannot be read; start the old CA, "
                "run: step ca provisioner list > provisioners.json, and name that file with --provisioners"
            )
        if remote:
            self._findings.missing("authority.enableAdmin", "there is no remote administration: ca.toml has everything")
        here = self._authority.objects("provisioners")
        if remote or (file is not None and here):
            if here:
                self._findings.left(
                    "authority.provisioners",
                    "those of --provisioners take their place",
                    "nothing, if the list is of this CA",
                )
            return translated
        translated.translate(here, "ca.json")
        if not translated.taken:
            self._findings.left(
                "authority.provisioners",
                "there is none that can be used: nobody can get a certificate",
                "mica ca provisioner add NAME --create",
            )
        return translated

    def _note_database(self, revoked: int | None) -> None:
        kind = self._ca.members("db").text("type")
        if revoked is not None:
            self._findings.taken("revocations", f"{revoked} serial numbers of --revoked, in the new store")
        if kind and revoked is None:
            self._findings.left(
                f"db ({kind}): revocations",
                "the database cannot be read, and what it has on record as revoked can be renewed again",
                "import once more with --revoked FILE, the serial numbers of what was revoked; an empty file for none",
            )
            self._findings.warnings.append(
                "certificates that the old CA had revoked can be renewed: give --revoked FILE"
            )
        if kind:
            self._findings.missing(
                f"db ({kind}): certificates",
                "they are not on record here; they are renewed by their signature (renew_unrecorded)",
            )

    def _note_the_rest(self) -> None:
        ca, authority, findings = self._ca, self._authority, self._findings
        if self.password:
            findings.missing("password", *notes.CA["password"])
        templates = self._folder.home / "templates"
        if templates.is_dir():
            findings.missing("templates/", f"the files in {templates} are not used: `mica ssh config` has its own")
        note_root_key(self._folder, findings)
        notes.note_rest(findings, ca, notes.CA)
        notes.note_rest(findings, authority, notes.AUTHORITY)

    def _defaults(self, home: Path, url: str, root: str, fingerprint: str) -> dict[str, Any]:
        """The new defaults.json."""
        old = Members(self._folder.defaults, "defaults.json: ", self._findings.faults)
        for name in ("ca-url", "ca-config", "root"):
            old.take(name)
        pinned = old.text("fingerprint")
        if pinned and pinned.lower() != fingerprint:
            self._findings.left(
                "defaults.json: fingerprint",
                f"it was {pinned}, and the root has {fingerprint}",
                "find out which root clients were told to trust",
            )
        new = {"ca-url": url, "fingerprint": fingerprint, "root": str(home.absolute() / root)}
        if provisioner := old.text("provisioner"):
            new["provisioner"] = provisioner
        self._findings.taken("defaults.json", ", ".join(new))
        notes.note_rest(self._findings, old, notes.DEFAULTS)
        return new


def _listed(file: str, faults: list[str]) -> tuple[Members, ...]:
    """The provisioners in the answer of ``step ca provisioner list``; raises FileProblem."""
    found = read_json(file)
    if isinstance(found, list):
        found = {"provisioners": found}
    if not isinstance(found, dict) or not isinstance(found.get("provisioners"), list):
        raise FileProblem(f"{file}: is not a list of provisioners", hint="step ca provisioner list > FILE makes one")
    return Members(found, f"{file}: ", faults).objects("provisioners")
