"""Renewal that runs itself, for any kind of certificate: when, how long to wait, and what is done afterwards."""
