"""``mica ssh config``: what a CA renders becomes part of the configuration of ssh and sshd, and is taken out again."""
