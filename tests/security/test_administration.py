"""Nobody administers the CA over the network, whatever token they have: what it is, is said in ``ca.toml``."""

from itertools import product
from pathlib import Path

from tests.security.administration import METHODS, NOT_FOUND, PATHS
from tests.security.bearers import Strangers, strangers

from mica.clock import system_clock
from mica.testing.ca import TestCA, csr_pem
from mica.testing.line_requests import send
from mica.web.app import create_app

NAME = "svc.example"


def tokens(ca: TestCA, others: Strangers) -> dict[str, str]:
    """Good tokens, by who brings them and what for."""
    return {
        "a provisioner's, to sign": ca.token(NAME),
        "a provisioner's, to revoke": ca.token("1", "/1.0/revoke"),
        "a provisioner's, for the path of step-ca's administrators": ca.token(NAME, "/admin/provisioners"),
        "a certificate's below a root": others.edge.token(ca, NAME, "/admin/admins", sans=[NAME]),
        "an administrator's of an OIDC provisioner": others.login(ca, "an administrator"),
    }


async def test_no_token_opens_a_path_of_administration_and_none_is_spent_there(ca: TestCA, tmp_path: Path) -> None:
    (tmp_path / "provider").mkdir()
    with strangers(ca, tmp_path / "provider") as others:
        ca.clock.moment = system_clock()
        authority = ca.authority()
        await authority.start()
        app, good = create_app(authority), tokens(ca, others)
        shown = (*good.values(), "Bearer " + good["an administrator's of an OIDC provisioner"])
        for credential, path, method in product(shown, PATHS, METHODS):  # step's clients name no scheme
            answer = await send(app, method, path, b"{}", {"Authorization": credential})
            assert (answer.status, answer.body) == (404, NOT_FOUND), (method, path)
        for bearer in ("a provisioner's, to sign", "an administrator's of an OIDC provisioner"):
            answer = await send(app, "POST", "/sign", {"csr": csr_pem(NAME), "ott": good[bearer]})
            assert answer.status == 201, (bearer, answer)
        await authority.aclose()
