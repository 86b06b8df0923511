"""How ssh reaches a host: whether the CA knows it, and through what."""
