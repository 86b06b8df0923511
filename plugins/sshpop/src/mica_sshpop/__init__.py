"""The SSHPOP provisioner: the server loads ``plugin``, the command line loads ``client``, neither loads the other."""
