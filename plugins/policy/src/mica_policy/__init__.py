"""Which names certificates may carry: the server loads ``plugin``, the command line loads ``commands``."""
