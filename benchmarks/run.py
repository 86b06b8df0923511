"""Every benchmark, one after the other. Figures are ratios within this run; nothing is asserted."""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Runs them."""
    for name in ("issuance", "policy", "auditlog", "ssh", "startup", "store"):
        print(f"== {name}", flush=True)
        runpy.run_path(str(HERE / f"{name}.py"), run_name="__main__")


if __name__ == "__main__":
    main()
