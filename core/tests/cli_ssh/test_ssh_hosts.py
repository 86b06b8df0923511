"""``ssh hosts``: the hosts that have a certificate now."""

import json

from core.tests.cli_ca.conftest import Machine
from core.tests.cli_ssh.sshclients import SSHCA

from mica.cli.ssh.hosts import table


def test_hosts_with_certificates_are_listed(client: Machine, served_ca: SSHCA) -> None:
    for name in ("web1.harbour.example", "db.harbour.example"):
        client.mica("ssh", "certificate", "--host", name, name, "--no-password", "--insecure", "--no-agent")
    ran = client.mica("ssh", "hosts")
    heading, *rows = ran.out.splitlines()
    assert heading.split() == ["HOSTNAME", "ID", "TAGS"] and ran.err == ""
    assert {"web1.harbour.example", "db.harbour.example"} <= set(rows)
    found = json.loads(client.mica("ssh", "hosts", "--json").out)
    assert found["ca_url"] == served_ca.url
    assert [row["hostname"] for row in found["hosts"]] == rows == sorted(rows)


def test_columns_begin_at_tab_stops_of_eight() -> None:
    rows = [("HOSTNAME", "ID", "TAGS"), ("build1.harbour.example", "5b0d9c1e-7f43-4f5e-9a1b-2c6d8e0f1a34", "role=ci")]
    assert table(rows) == [
        "HOSTNAME\t\tID\t\t\t\t\tTAGS",
        "build1.harbour.example\t5b0d9c1e-7f43-4f5e-9a1b-2c6d8e0f1a34\trole=ci",
    ]
    ends = {line.expandtabs(8).index(word) for line, word in zip(table(rows), ("TAGS", "role=ci"), strict=True)}
    assert len(ends) == 1
    assert table([("HOSTNAME", "ID", "TAGS")]) == ["HOSTNAME\tID\tTAGS"]
    assert table([("H", "I", "T"), ("exactly8", "", "")])[1] == "exactly8"
