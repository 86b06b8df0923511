"""The provisioner in whole authorities: a contract that carries the attack rows that concern its role.

class TestJWKLine(ProvisionerLineContract):
    plugin = "jwk"
    def table(self, folder): return 'type = "jwk"\\nname = "harbour"\\nkey = {…}'
    def build(self, context): return JWKProvisioner(config, context)
    def maker(self, operation, now): return Maker(key=…, header=…, payload=…, now=now)

``build`` and ``maker`` are those of ``TokenProvisionerContract``, and so are ``ordered``, ``unbound``, ``names``,
``principals`` and ``secrets``. ``plugin`` is the installed plugin's name, ``table`` what ``build`` is given, in TOML;
without them all is shown but what needs processes of their own. ``details`` adds members to good requests, ``bearer``
replaces ``maker`` where credentials come from the CA itself, and ``serves_elsewhere`` says why a token serves at every
authority, if it does.
"""

from mica.testing.line_names import NamesOfTheLine
from mica.testing.line_races import RacesOfTheLine
from mica.testing.line_routes import RoutesOfTheLine
from mica.testing.line_scene import Line as Line
from mica.testing.line_scene import Order as Order
from mica.testing.line_served import ServedLine
from mica.testing.line_tokens import TokensOfTheLine
from mica.testing.line_trouble import TroubleOfTheLine


class ProvisionerLineContract(
    RoutesOfTheLine, TokensOfTheLine, NamesOfTheLine, RacesOfTheLine, TroubleOfTheLine, ServedLine
):
    """Whoever asks, however often, whenever and whatever goes wrong: issued is what was granted, once."""
