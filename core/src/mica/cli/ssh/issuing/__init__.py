"""A new SSH certificate: what is ordered, for which key, and where it goes."""
