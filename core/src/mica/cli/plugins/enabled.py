"""Which plugins ``ca.toml`` enables, for commands that can do without one."""

from typing import TYPE_CHECKING

from mica.cli.ca.configuration import read_settings
from mica.cli.kit import FileProblem, mica_path

if TYPE_CHECKING:
    from pathlib import Path


def enabled_plugins(named: "Path | None") -> tuple[str, ...]:
    """The entries of ``plugins`` in the file ``named``, or in ``$MICAPATH/ca.toml``, where there need be none.

    Raises FileProblem when the file cannot be read, or says something else there.
    """
    if named is None and not (mica_path() / "ca.toml").exists():
        return ()
    from mica.errors import ConfigError  # imports much

    try:
        settings = read_settings(named)
    except ConfigError as error:
        raise FileProblem("\n".join(error.faults)) from error
    if faults := [fault for fault in settings.faults if fault.startswith("plugins")]:
        raise FileProblem("\n".join(faults), hint=f"{settings.path} cannot be used until this is mended")
    return settings.core.plugins
