"""Signing in with an identity provider, from the command line."""
