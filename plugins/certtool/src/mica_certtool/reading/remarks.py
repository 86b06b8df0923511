"""What pyca and PyJWT remark on odd certificates and keys: written for programmers, not for who looks at them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing is remarked meanwhile. Decorates commands: pyca remarks on a name when somebody asks for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
