"""What an SSH certificate is to be, as flags and tokens say it, before anybody is asked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from mica import principals
from mica.cli.errors import Usage
from mica.cli.ssh.issuing import orders, tokenorders
from mica.cli.ssh.issuing.orders import Order
from mica.sshcert import CertType
from mica.tokens import UnverifiedToken

URL = "https://ca.example:8443/1.0/ssh/sign"


def order(**changes: Any) -> Order:
    return Order(**{"cert_type": CertType.USER, "key_id": "alice", "principals": (), **changes})


def token(ssh: object = None, **claims: Any) -> UnverifiedToken:
    payload = {"aud": URL, "sub": "alice"} | ({} if ssh is None else {"step": {"ssh": ssh}}) | claims
    return UnverifiedToken.parse(jwt.encode(payload, "a key of as many octets as PyJWT wants", "HS256"))


@pytest.mark.parametrize(
    ("key_id", "names"),
    [
        ("alice", ["alice"]),
        ("alice@harbour.example", ["alice", "alice@harbour.example"]),
        ("Ann.Lee@harbour.example", ["annlee", "Ann.Lee", "Ann.Lee@harbour.example"]),
        ("ANN@harbour.example", ["ann", "ANN@harbour.example"]),
        ("Ann", ["ann", "Ann"]),
        ("a.b_c-d+e", ["ab_c-d_e", "a.b_c-d+e"]),
        ("two@ats@harbour.example", ["two_ats", "two@ats", "two@ats@harbour.example"]),
        ("ann lee", ["ann_lee"]),
        ("ann,root@x", ["ann_root"]),
        ("*", ["_"]),
    ],
)
def test_a_users_principals_are_made_of_the_key_id_as_step_makes_them(key_id: str, names: list[str]) -> None:
    assert list(orders.default_principals(key_id, CertType.USER)) == names
    assert principals.faults(tuple(names)) == []


def test_a_hosts_principal_is_its_key_id_in_lower_case() -> None:
    assert orders.completed(order(cert_type=CertType.HOST, key_id="SVC.Example")).principals == ("svc.example",)


def test_a_key_id_of_which_no_principal_can_be_made_asks_for_one() -> None:
    with pytest.raises(Usage, match="'@a b' gives no principal") as caught:
        orders.completed(order(key_id="@a b"))
    assert "--principal" in (caught.value.hint or "")
    assert orders.completed(order(key_id="@a b", principals=("alice",))).principals == ("alice",)


@pytest.mark.parametrize("name", ["", "a,b", "a*", "a b", "a\n", "a\0b", "\x1b[31m", "x" * 256])
def test_a_principal_that_could_be_taken_for_more_than_a_name_is_refused_here(name: str) -> None:
    with pytest.raises(Usage, match="ssh certificate principal"):
        orders.asked("alice", CertType.USER, (name,), (None, None))


@pytest.mark.parametrize("key_id", ["two\nlines", "\x1b[31mred", "nul\0"])
def test_a_key_id_is_one_line_of_text(key_id: str) -> None:
    with pytest.raises(Usage, match="must be one line of text"):
        orders.asked(key_id, CertType.USER, (), (None, None))


@pytest.mark.parametrize(
    ("start", "end", "valid_before"),
    [
        (None, timedelta(hours=8), timedelta(hours=8)),
        (timedelta(hours=2), timedelta(hours=8), timedelta(hours=10)),
        (datetime(2030, 1, 1, tzinfo=UTC), timedelta(days=1), datetime(2030, 1, 2, tzinfo=UTC)),
        (timedelta(hours=2), datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_duration_until_the_end_counts_from_the_start_as_for_x509(start: Any, end: Any, valid_before: Any) -> None:
    assert orders.asked("alice", CertType.USER, (), (start, end)).valid_before == valid_before


@pytest.mark.parametrize("start", [timedelta.max, datetime.max.replace(tzinfo=UTC)])
def test_an_end_beyond_all_times_is_told(start: Any) -> None:
    with pytest.raises(Usage, match="too late to be a time"):
        orders.asked("alice", CertType.USER, (), (start, timedelta(days=1)))


def test_a_token_says_all_that_was_ordered() -> None:
    full = order(principals=("alice", "root"), valid_after=timedelta(minutes=-5), valid_before=timedelta(hours=8))
    assert full.claims["step"]["ssh"] == {
        "certType": "user", "keyID": "alice", "principals": ["alice", "root"],
        "validAfter": "-5m0s", "validBefore": "8h0m0s",
    }  # fmt: skip
    assert tokenorders.agreed(order(), token(**full.claims)) == full


def test_without_a_token_principals_are_filled_in() -> None:
    assert tokenorders.agreed(order(), None).principals == ("alice",)


def test_a_token_without_key_id_is_for_its_subject_and_a_user() -> None:
    assert tokenorders.agreed(order(), token({})) == order()
    assert tokenorders.key_id_of(token({})) == "alice"
    assert tokenorders.key_id_of(token({"keyID": "bob"})) == "bob"


def test_a_token_of_an_identity_provider_leaves_all_to_the_flags() -> None:
    asked = order(principals=("root",))
    assert tokenorders.agreed(asked, token(None, aud="client-id")) == asked


@pytest.mark.parametrize(
    ("ssh", "asked", "message"),
    [
        ({"certType": "host"}, {}, "a host's certificate"),
        ({"certType": "user"}, {"cert_type": CertType.HOST}, "a user's certificate"),
        ({"keyID": "bob"}, {}, "the key id 'bob', not for 'alice'"),
        ({"keyID": "Alice"}, {}, "the key id 'Alice', not for 'alice'"),
        ({"principals": ["a", "b"]}, {"principals": ("a",)}, "the principals a, b"),
        ({"validBefore": "1h"}, {"valid_before": timedelta(hours=2)}, "'--not-after 1h0m0s'"),
        ({"validAfter": "1h"}, {"valid_after": timedelta(hours=2)}, "'--not-before 1h0m0s'"),
        ({"certType": "admin"}, {}, "neither user nor host"),
        ({"principals": "alice"}, {}, "no list of names"),
        ({"principals": [7]}, {}, "no list of names"),
        ({"keyID": 7}, {}, "its keyID is no text"),
        ({"validAfter": "soon"}, {}, "its validAfter: 'soon' is neither"),
        ([], {}, "step.ssh is no object"),
    ],
)
def test_what_the_flags_and_the_token_disagree_on_is_told(ssh: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(Usage, match=message):
        tokenorders.agreed(order(**asked), token(ssh))


def test_the_same_in_other_words_is_no_disagreement() -> None:
    said = token({"principals": ["Alice", "root"], "validBefore": "60m"})
    asked = order(principals=("root", "alice"), valid_before=timedelta(hours=1))
    assert tokenorders.agreed(asked, said).principals == ("Alice", "root")


@pytest.mark.parametrize("path", ["/1.0/sign", "/1.0/ssh/renew", "/1.0/ssh/revoke"])
def test_a_token_for_something_else_is_told_from_its_audience(path: str) -> None:
    with pytest.raises(Usage, match="not for /ssh/sign") as caught:
        tokenorders.agreed(order(), token({}, aud=f"https://ca.example{path}"))
    assert caught.value.hint == "make one with: mica ca token --ssh"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"principals": ("annlee", "Ann.Lee", "Ann.Lee@x")}, "is for one principal"),
        ({"principals": ("alice", "root")}, "is for one principal"),
        ({"principals": ("alice", "@x")}, "is for one principal"),
        ({"principals": ("alice@x",)}, "cannot be the name of an account"),
        ({"principals": (), "key_id": "alice@x"}, "cannot be the name of an account"),
        ({"principals": ("al;ice",)}, "cannot be the name of an account"),
        ({"cert_type": CertType.HOST}, "incompatible with '--host'"),
    ],
)
def test_what_is_not_one_plain_account_is_not_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Usage, match=message):
        orders.check_account(order(**changes))
