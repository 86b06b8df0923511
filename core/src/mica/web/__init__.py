"""The HTTPS API: routes and their wire shapes, limits, TLS, worker processes and their supervisor."""
