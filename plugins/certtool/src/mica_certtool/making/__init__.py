"""Certificates, requests and archives: written, signed, converted."""
