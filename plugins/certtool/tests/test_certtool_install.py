"""``certificate install`` and ``uninstall``: on a real Debian as root, in a mount namespace of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]

#: What the test may change: a copy lies over each, and nobody else sees it.
COVERED = ("/usr/local/share/ca-certificates", "/etc/ssl/certs", "/etc/ca-certificates/update.d")
ALPINE = "ID=alpine\nNAME=Alpine\n"


def missing(what: str) -> None:
    """Without it the test is skipped, or fails where everything must be tested."""
    if os.environ.get("MICA_REQUIRE_ALL"):
        pytest.fail(what)
    pytest.skip(what)


@dataclass
class Debian:
    """A Debian whose trust store only these commands see, and what its hooks were told."""

    namespace: int
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{self.namespace}/ns/mnt", "sh", "-c", 'cd "$0" && exec "$@"', self.folder,
             *map(str, command)],
            env=dict(self.environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def mica(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "mica.cli", "certificate", *arguments, code=code)

    def trusts(self, leaf: Path, url: str) -> tuple[bool, bool]:
        """Whether openssl and curl do, each by the store of the system."""
        verified = self.run("openssl", "verify", leaf, code=None)
        fetched = self.run("curl", "--silent", "--show-error", "--noproxy", "*", url, code=None)
        return verified.returncode == 0, fetched.returncode == 0

    def store(self) -> dict[str, bytes]:
        """Every file and link of the store."""
        listed = self.run("sh", "-c", f"find {COVERED[0]} {COVERED[1]} ! -type d | sort")
        return {
            name: self.run("sh", "-c", f'readlink "{name}" || sha256sum "{name}"').stdout.encode()
            for name in listed.stdout.splitlines()
            if "mica" in name or "test-" in name or name.endswith("ca-certificates.crt")
        } | {"number": str(len(listed.stdout.splitlines())).encode()}

    def hooked(self) -> list[str]:
        """What the hooks of update-ca-certificates were told since the last time."""
        record = self.folder / "hooked"
        lines = record.read_text().split() if record.exists() else []
        record.unlink(missing_ok=True)
        return [line for line in lines if "mica-" in line]


@contextmanager
def separated(folder: Path, *, os_release: str | None = None) -> Iterator[Debian]:
    """A mount namespace in which copies of the trust store lie over the real one."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        missing("only root can put a copy over the trust store")
    if (
        shutil.which("update-ca-certificates", path="/usr/sbin:/sbin") is None
        or not Path("/etc/debian_version").exists()
    ):
        missing("this is no Debian with ca-certificates")
    script = ["set -e"]
    for number, path in enumerate(COVERED):
        copy = folder / f"cover{number}"
        script += [f"mkdir {copy}", f"cp -a {path}/. {copy}/", f"mount --bind {copy} {path}"]
    hook = f"{COVERED[2]}/record"
    script += [f"rm -f {COVERED[2]}/*", f"printf '#!/bin/sh\\ncat >> {folder}/hooked\\n' > {hook}", f"chmod +x {hook}"]
    if os_release is not None:
        (folder / "os-release").write_text(os_release)
        script.append(f"mount --bind {folder}/os-release $(readlink -f /etc/os-release)")
    script += ["echo ready", "exec sleep 600"]
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None and holder.stderr is not None
        if holder.stdout.readline() != "ready\n":
            missing(f"a mount namespace cannot be made: {holder.stderr.read()}")
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        yield Debian(holder.pid, folder, clean | {"MICAPATH": str(folder / "none"), "TMPDIR": str(folder)})
    finally:
        holder.kill()
        holder.communicate()


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Debian]:
    with separated(tmp_path) as debian:
        yield debian


@pytest.fixture
def root(tmp_path: Path, openssl: OpenSSL) -> Path:
    """``root.crt`` and ``root.key``; ``leaf.crt`` and ``leaf.key`` for localhost are from it."""
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl("req", "-x509", *ec, "-subj", "/CN=Harbour Works Root", "-keyout", "root.key", "-out", "root.crt")
    openssl(
        "req", "-x509", *ec, "-subj", "/CN=localhost", "-keyout", "leaf.key", "-out", "leaf.crt", "-CA", "root.crt",
        "-CAkey", "root.key",
        "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    return tmp_path / "root.crt"


@pytest.fixture
def url(root: Path) -> Iterator[str]:
    """A server with the leaf."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["openssl", "s_server", "-www", "-accept", f"localhost:{port}", "-cert", "leaf.crt", "-key", "leaf.key"],
        cwd=root.parent, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"https://localhost:{port}/"
    finally:
        server.kill()
        server.wait()


def fingerprint(openssl: OpenSSL, certificate: Path) -> str:
    printed = openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
    return printed.strip().partition("=")[2].replace(":", "").lower()


def test_an_installed_root_is_trusted_by_the_programs_of_the_system_until_it_is_uninstalled(
    debian: Debian, root: Path, url: str, openssl: OpenSSL
) -> None:
    leaf, sha256 = root.with_name("leaf.crt"), fingerprint(openssl, root)
    debian.run("update-ca-certificates")
    before = debian.store()
    assert debian.trusts(leaf, url) == (False, False)
    assert sha256 in debian.mica("install", root).stderr
    assert debian.trusts(leaf, url) == (True, True)
    assert debian.hooked() == [f"+/etc/ssl/certs/mica-{sha256}.pem"]
    assert debian.store() != before
    assert "is no longer installed" in debian.mica("uninstall", root).stderr
    assert debian.trusts(leaf, url) == (False, False)
    assert debian.hooked() == [f"-/etc/ssl/certs/mica-{sha256}.pem"]
    assert debian.store() == before


def test_to_install_or_to_uninstall_twice_is_no_error_and_json_tells_what_changed(
    debian: Debian, root: Path, openssl: OpenSSL
) -> None:
    openssl("x509", "-in", root, "-outform", "DER", "-out", "root.der")
    sha256 = fingerprint(openssl, root)
    expected = {
        "store": "system",
        "name": f"test-{sha256}",
        "fingerprint": sha256,
        "file": f"/usr/local/share/ca-certificates/test-{sha256}.crt",
    }
    for command, file, changed in (
        ("install", "root.der", True), ("install", "root.crt", False),
        ("uninstall", "root.der", True), ("uninstall", "root.crt", False),
    ):  # fmt: skip
        done = debian.mica(command, "--json", "--prefix", "test", file)
        assert json.loads(done.stdout) == {**expected, "changed": changed}
        if command == "install":
            assert debian.run("stat", "-c", "%a", expected["file"]).stdout == "644\n"


def test_what_another_prefix_or_an_administrator_installed_stays(
    debian: Debian, root: Path, url: str, openssl: OpenSSL
) -> None:
    own = f"{COVERED[0]}/by-hand.crt"
    debian.run("cp", root, own)
    debian.mica("install", root)
    done = debian.mica("uninstall", root)
    assert "warning: root.crt: is still trusted here" in done.stderr.replace(f"{root.parent}/", "")
    assert debian.run("cat", own).stdout == root.read_text()
    assert debian.trusts(root.with_name("leaf.crt"), url) == (True, True)


def test_an_update_that_fails_leaves_no_file_behind(debian: Debian, root: Path, openssl: OpenSSL) -> None:
    script = f"mount -t tmpfs -o ro none {COVERED[1]}"
    debian.run("sh", "-c", script)
    done = debian.mica("install", root, code=1)
    assert "error: update-ca-certificates failed: " in done.stderr
    assert not debian.run("sh", "-c", f"ls {COVERED[0]} | grep mica-", code=1).stdout


def test_whoever_is_not_root_is_told_the_command_that_root_runs(
    debian: Debian, root: Path, url: str, openssl: OpenSSL
) -> None:
    leaf, mica = root.with_name("leaf.crt"), [sys.executable, "-m", "mica.cli", "certificate"]
    for command, trusted in (("install", (True, True)), ("uninstall", (False, False))):
        done = debian.run("unshare", "--user", *mica, command, root, code=5)
        assert "only root may change what this system trusts" in done.stderr
        told = done.stderr.partition("hint: run this: ")[2].replace("sudo ", "")
        debian.run("sh", "-c", told)
        assert debian.trusts(leaf, url) == trusted


def test_elsewhere_the_command_is_told_and_the_exit_code_says_that_nothing_was_done(
    tmp_path: Path, root: Path, openssl: OpenSSL
) -> None:
    with separated(tmp_path, os_release=ALPINE) as alpine:
        file = f"/usr/local/share/ca-certificates/mica-{fingerprint(openssl, root)}.crt"
        done = alpine.mica("install", root, code=1)
        assert "nothing was installed" in done.stderr
        assert f"hint: run this: sudo cp {root} {file} && sudo update-ca-certificates\n" in done.stderr
        told = json.loads(alpine.mica("uninstall", "--json", root, code=1).stderr)["error"]
        assert told["code"] == "by-hand"
        assert told["hint"] == f"run this: sudo rm -f {file} && sudo update-ca-certificates"
        assert not alpine.run("sh", "-c", f"ls {file}", code=2).stdout


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=fedora", "sudo cp {root} /etc/pki/ca-trust/source/anchors/{name}.crt && sudo update-ca-trust extract"),
        ('ID=rocky\nID_LIKE="rhel centos fedora"', "sudo update-ca-trust extract"),
        (
            'ID=opensuse-leap\nID_LIKE="suse opensuse"',
            "/etc/pki/trust/anchors/{name}.crt && sudo update-ca-certificates",
        ),
        ("ID=arch", "sudo trust anchor --store {root}"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "sudo cp {root} /usr/local/share/ca-certificates/{name}.crt"),
    ],
)
def test_the_command_is_that_of_the_distribution(
    tmp_path: Path, root: Path, openssl: OpenSSL, release: str, command: str
) -> None:
    with separated(tmp_path, os_release=release) as system:
        printed = system.mica("install", "--print", root).stdout
    assert command.format(root=root, name=f"mica-{fingerprint(openssl, root)}") in printed


def test_a_system_that_is_not_known_gets_no_guess(tmp_path: Path, root: Path) -> None:
    with separated(tmp_path, os_release="ID=plan9") as system:
        assert "does not know where this system keeps what it trusts" in system.mica("install", root, code=1).stderr


def test_java_and_firefox_are_left_to_their_own_tools(mica: Run, root: Path, tmp_path: Path, openssl: OpenSSL) -> None:
    profile = tmp_path / ".mozilla/firefox/a b.default"
    profile.mkdir(parents=True)
    (profile / "cert9.db").touch()
    name = f"mica-{fingerprint(openssl, root)}"
    added = [
        f"sudo keytool -importcert -noprompt -cacerts -alias {name} -file {root}",
        f"certutil -A -n {name} -t C,, -a -i {root} -d sql:'{profile}'",
    ]
    done = mica("certificate", "install", "--no-system", "--java", "--firefox", root, HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.endswith("\nhint: run this: " + "\n".join(added) + "\n")
    printed = mica("certificate", "uninstall", "--no-system", "--java", "--firefox", "--print", "--json", root)
    assert json.loads(printed.stdout)["commands"] == [
        f"sudo keytool -delete -cacerts -alias {name}",
        f"certutil -D -n {name} -d sql:PROFILE",
    ]


def unusable(openssl: OpenSSL, root: Path) -> dict[str, tuple[bytes, str]]:
    """Files that no store takes, and what is said of them."""
    folder = root.parent
    openssl("pkcs12", "-export", "-in", "leaf.crt", "-inkey", "leaf.key", "-passout", "pass:x", "-out", "leaf.p12")
    pem = root.read_bytes()
    return {
        "leaf.crt": ((folder / "leaf.crt").read_bytes(), "is not the certificate of a CA"),
        "key.pem": ((folder / "root.key").read_bytes(), "holds a private key, not a certificate"),
        "leaf.p12": ((folder / "leaf.p12").read_bytes(), "holds a PKCS #12 file, not a certificate"),
        "empty.crt": (b"", "is empty"),
        "blank.crt": (b"\r\n\r\n", "is empty"),
        "two.crt": (pem * 2, "holds 2 certificates"),
        "damaged.crt": (pem.replace(b"MII", b"MIA"), "is damaged"),
        "cut.crt": (pem[:200], "is cut off"),
        "text.crt": ("\ufeffcertificate".encode("utf-16"), "is UTF-16 text"),
        "large.crt": (b"\x30" * (17 << 20), "is larger than 16 MiB"),
    }


def test_what_no_store_takes_is_refused_in_two_lines(mica: Run, root: Path, openssl: OpenSSL) -> None:
    for name, (data, message) in unusable(openssl, root).items():
        (root.parent / name).write_bytes(data)
        for command in ("install", "uninstall"):
            done = mica("certificate", command, "--print", name)
            assert (done.returncode, done.stdout) == (5, ""), name
            assert f"error: {name}: {message}" in done.stderr
            assert done.stderr.count("\n") <= 2
    assert mica("certificate", "install", "--print", "nothing.crt").returncode == 5


def test_windows_line_ends_a_mark_and_text_around_the_certificate_do_not_matter(mica: Run, root: Path) -> None:
    (root.parent / "w.crt").write_bytes(b"\xef\xbb\xbfsubject=CN\r\n" + root.read_bytes().replace(b"\n", b"\r\n"))
    expected = mica("certificate", "install", "--print", root).stdout
    assert mica("certificate", "install", "--print", "w.crt").stdout == expected.replace("root.crt", "w.crt")


def test_an_expired_root_is_not_installed_but_can_be_uninstalled(mica: Run, root: Path, openssl: OpenSSL) -> None:
    openssl("req", "-new", "-key", "root.key", "-subj", "/CN=Old", "-out", "old.csr")
    (root.parent / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\n")
    openssl(
        "x509", "-req", "-in", "old.csr", "-key", "root.key", "-days", "-1", "-extfile", "ca.ext", "-out", "old.crt"
    )
    done = mica("certificate", "install", "--print", "old.crt")
    assert (done.returncode, done.stdout) == (5, "")
    assert "error: old.crt: expired at " in done.stderr
    assert mica("certificate", "uninstall", "--print", "old.crt").returncode == 0


@pytest.mark.parametrize("prefix", ["", "../x", "a b", "-x", "ä", "a;b", "x" * 65])
def test_a_prefix_that_is_no_name_of_a_file_is_a_usage_error(mica: Run, root: Path, prefix: str) -> None:
    done = mica("certificate", "install", "--print", f"--prefix={prefix}", root)
    assert done.returncode == 2
    assert "for flag '--prefix'" in done.stderr


def test_flags_that_name_no_store_or_contradict_are_usage_errors(mica: Run, root: Path) -> None:
    assert "requires the flag '--java'" in mica("certificate", "install", "--no-system", root).stderr
    assert "'--all' is incompatible" in mica("certificate", "install", "--all", "--no-system", root).stderr
