"""Whether a certificate is good: its path, its time, its form."""
