"""How signing in fails."""

from mica.client.errors import ClientError


class NotSignedIn(ClientError):
    """Nobody signed in: the provider or the user said no, the time was over, or what came proves nothing."""
