"""``mica ssh``: SSH keys and certificates."""
