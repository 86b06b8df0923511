"""The OIDC provisioner: ID tokens of an OpenID provider, and the login that gets them."""
