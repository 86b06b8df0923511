"""Certificates that are there: hosts' are continued, anybody's are ended."""
