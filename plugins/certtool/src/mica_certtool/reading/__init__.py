"""Certificates, requests and revocation lists: found, recognised, shown."""
