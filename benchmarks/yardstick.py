"""The unit of every figure: one P-256 signature as OpenSSL measures it on this machine in this run."""

import re
import subprocess


def microseconds() -> float:
    """CPU time of one ECDSA P-256 signature, in microseconds: the best of three, since noise only ever adds."""
    return min(_measure() for _ in range(3))


def _measure() -> float:
    output = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "ecdsap256"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"ecdsa \(nistp256\)\s+\S+s\s+\S+s\s+([\d.]+)", output)
    if found is None:
        raise RuntimeError(f"openssl speed says something unexpected:\n{output}")
    return 1e6 / float(found[1])
