"""Signing in with an OpenID provider: by a browser on this machine, or by a code that is typed on another one.

``identity_token`` is what token sources need: the provider's word on who sits here. Nothing of it judges signatures;
that is the CA's business.
"""

from mica.client.oauth.desk import SignInDesk as SignInDesk
from mica.client.oauth.desk import Wishes as Wishes
from mica.client.oauth.providers import Provider as Provider
from mica.client.oauth.providers import Registration as Registration
from mica.client.oauth.providers import discover as discover
from mica.client.oauth.refusals import NotSignedIn as NotSignedIn
from mica.client.oauth.sessions import give_back as give_back
from mica.client.oauth.sessions import identity_token as identity_token
from mica.client.oauth.signin import Tokens as Tokens
from mica.client.oauth.signin import sign_in as sign_in
from mica.client.oauth.web import Web as Web
