"""What other servers are administered by over the network."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: step-ca's paths, and what others have for the purpose.
PATHS = (
    "/admin", "/admin/", "/admin/admins", "/admin/admins/1", "/admin/provisioners", "/admin/provisioners/admin",
    "/admin/policy", "/admin/provisioners/admin/policy", "/admin/provisioners/admin/webhooks",
    "/admin/provisioners/admin/webhooks/hook", "/admin/acme/eab/admin", "/admin/acme/eab/admin/reference",
    "/admin/acme/policy/admin/reference/reference", "/admin/acme/policy/admin/key/key", "/provisioners/admin",
    "/config", "/ca.toml", "/keys", "/secrets", "/certs", "/metrics", "/debug/pprof/", "/debug/vars", "/reload",
    "/shutdown", "/plugins", "/policy", "/audit", "/v1/sys/seal", "/ejbca/adminweb", "/console",
    "/1.0/admin/admins", "/1.0/admin/provisioners",
)  # fmt: skip
NOT_FOUND = b"404 page not found\n"
