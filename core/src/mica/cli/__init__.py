"""The ``mica`` command. What is imported here is imported for every call, so it is little."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper


def main(args: Sequence[str] | None = None) -> int:
    """One run of ``mica``; the exit code. Failures are told on stderr, each in a few lines."""
    from mica.cli.console import Settings, help_width  # importing mica.cli.errors must not import click
    from mica.cli.endings import conclude, end_in_order, exit_code, hush_stdout
    from mica.cli.errors import CLIError
    from mica.cli.shell import root

    end_in_order()
    settings = Settings()
    arguments = list(sys.argv[1:] if args is None else args)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale that lacks a letter is no reason to fail
    try:
        result = root().main(
            arguments, prog_name="mica", standalone_mode=False, obj=settings, terminal_width=help_width()
        )
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        hush_stdout()
        return exit_code(CLIError("whoever read stdout has gone"), settings)
    except (Exception, KeyboardInterrupt) as failure:  # the end of the line: everything is told in words
        settings.json |= "--json" in arguments
        return conclude(failure, settings)
    return result if isinstance(result, int) else 0
