"""A plugin in an afternoon: written by ``mica plugin new``, built, installed, enabled, and certificates go through it.

The environment is clean, and has wheels of this repository; everything is done by the command line, and looked at by
OpenSSL and curl. Taken out of ``plugins``, the plugin is imported by no process of the CA.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.strangers.workshop import Harbour, Workshop

from mica.testing.service import free_port


@pytest.fixture
def harbour(workshop: Workshop, plugins: dict[str, str], tmp_path: Path) -> Harbour:
    """A CA, where all these plugins are installed and none is enabled."""
    return Harbour.found(workshop, tmp_path / "harbour", free_port())


@pytest.fixture
def taken_out(harbour: Harbour) -> Callable[[str], None]:
    """Whether a CA without the plugin of that name issues certificates, and does not import it."""

    def require(name: str) -> None:
        (harbour.path / "ca.toml").write_text(harbour.plain)
        with harbour.served() as run:
            harbour.order("after.example")
            assert harbour.serial_number("after.example")
        assert not run.imported(f"mica_{name}")

    return require


def test_the_environment_has_nothing_but_what_was_installed(workshop: Workshop) -> None:
    script = "import json, mica, mica_jwk, sys; print(json.dumps([mica.__file__, mica_jwk.__file__, *sys.path]))"
    mica, jwk, *path = json.loads(workshop.run(workshop.bin / "python", "-I", "-c", script))
    site = str(workshop.folder / "venv/lib")
    assert mica.startswith(site)
    assert jwk.startswith(site)
    assert [place for place in path if place.endswith("site-packages") and not place.startswith(site)] == []


def test_a_provisioner_vouches_for_whoever_holds_its_key(
    harbour: Harbour, plugins: dict[str, str], taken_out: Callable[[str], None]
) -> None:
    name, key = plugins["provisioner"], harbour.path / "desk.key"
    run_command = harbour.workshop.run
    run_command("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    public_key = run_command("openssl", "pkey", "-in", key, "-pubout").splitlines()[1]
    harbour.mica("ca", "provisioner", "add", "desk", "--type", name, "--ed25519-key", public_key)
    assert f'"{name}"' in (harbour.path / "ca.toml").read_text()
    with harbour.served() as run:
        token = harbour.mica("ca", "token", "svc.example", "--provisioner", "desk", "--key", key).strip()
        harbour.order_by_token(token, "svc.example")
        serial_number = harbour.serial_number("svc.example")
        assert "refused" in harbour.order_by_token(token, "svc.example", code=4)
    assert run.imported(f"mica_{name}")
    assert recorded(harbour, "--provisioner", "desk") == {serial_number}
    taken_out(name)


def test_a_store_has_everything_on_record(
    harbour: Harbour, plugins: dict[str, str], taken_out: Callable[[str], None]
) -> None:
    name = plugins["store"]
    harbour.change('"storage_sqlite"]', f'"{name}"]')
    harbour.change('type = "storage_sqlite"\npath = "db/mica.db"', f'type = "{name}"')
    orders = ("a.example", "b.example")
    for order in orders:
        with harbour.served() as run:
            harbour.order(order)
        assert run.imported(f"mica_{name}")
        assert not run.imported("mica_storage_sqlite")
    assert recorded(harbour, "--provisioner", "ops") == set(map(harbour.serial_number, orders))
    assert {path.name for path in (harbour.path / "db").iterdir()} >= {f"{name}.db"}
    assert not (harbour.path / "db/mica.db").exists()
    taken_out(name)


def test_keys_are_found_at_their_uri(
    harbour: Harbour, plugins: dict[str, str], taken_out: Callable[[str], None]
) -> None:
    name = plugins["keys"]
    before, after = (harbour.path / "secrets" / file for file in ("intermediate_ca_key", "intermediate.pem"))
    before.rename(after)
    harbour.enable(name)
    harbour.change("file:secrets/intermediate_ca_key", f"{name.replace('_', '-')}:intermediate")
    with harbour.served() as run:
        harbour.order("svc.example")
        assert harbour.serial_number("svc.example")
    assert run.imported(f"mica_{name}")
    shutil.move(after, before)
    taken_out(name)


def test_a_policy_that_is_pinned_refuses_one_certificate_and_lets_another_pass(
    harbour: Harbour, plugins: dict[str, str], taken_out: Callable[[str], None]
) -> None:
    name = plugins["policy"]
    pin = listed(harbour, name)["pin"]
    assert str(pin).startswith(f"{name}@sha256:")
    harbour.enable(str(pin), f"\n[plugin.{name}]\nmax_names = 2\n")
    with harbour.served() as run:
        harbour.order("a.example", "b.example")
        serial_number = harbour.serial_number("a.example")
        refusal = harbour.order("c.example", "d.example", "e.example", code=4)
    assert run.imported(f"mica_{name}")
    assert "a certificate may have 2 names, and this one has 3" in refusal
    assert not harbour.certificate("c.example").exists()
    assert recorded(harbour, "--provisioner", "ops") == {serial_number}
    row = listed(harbour, name)
    assert (row["pinned"], row["faults"], row["kinds"]) == (True, [], {"extensions": [name]})
    assert (row["hooks"], row["contracts"]) == (["refuse_ssh", "refuse_x509"], [f"mica_{name}.contracts"])
    taken_out(name)


def test_a_listener_hears_of_each_certificate(
    harbour: Harbour, plugins: dict[str, str], taken_out: Callable[[str], None]
) -> None:
    name = plugins["listener"]
    harbour.enable(name, f'\n[plugin.{name}]\npath = "heard.txt"\n')
    with harbour.served() as run:
        harbour.order("svc.example")
    assert run.imported(f"mica_{name}")
    serial_number = harbour.serial_number("svc.example")
    heard = (harbour.path / "heard.txt").read_text().splitlines()
    own, ordered = (line.partition(" ")[2] for line in heard)
    assert own.startswith("issued mica Online CA by mica, serial ")
    assert ordered == f"issued svc.example by ops, serial {serial_number}"
    taken_out(name)


def test_routes_answer_whoever_asks(
    harbour: Harbour, plugins: dict[str, str], taken_out: Callable[[str], None]
) -> None:
    name = plugins["routes"]
    harbour.enable(name)
    with harbour.served() as run:
        harbour.order("svc.example")
        serial = str(harbour.serial_number("svc.example"))
        url = f"https://localhost:{harbour.port}/{name}/{serial}"
        answer = harbour.workshop.run("curl", "--silent", "--fail", "--cacert", harbour.root, url)
    assert run.imported(f"mica_{name}")
    assert json.loads(answer) == {"serial": serial, "status": "valid"}
    taken_out(name)


def recorded(harbour: Harbour, *query: str) -> set[int]:
    """The serial numbers that are on record, as ``mica ca certs list`` finds them."""
    found = json.loads(harbour.mica("ca", "certs", "list", "--json", *query))
    return {int(row["serial_number"]) for row in found}


def listed(harbour: Harbour, name: str) -> dict[str, object]:
    """What ``mica plugin list`` says of the plugin."""
    rows = json.loads(harbour.mica("plugin", "list", "--json"))["plugins"]
    (row,) = (row for row in rows if row["name"] == name)
    assert isinstance(row, dict)
    return row
