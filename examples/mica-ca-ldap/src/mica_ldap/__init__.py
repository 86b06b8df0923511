"""The LDAP provisioner: the server loads ``plugin``, the command line loads ``client``, and neither loads the other."""
