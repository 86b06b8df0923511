"""How a command fails: one class for each exit code.

CLIError            1  anything else
├── Usage           2  the command line is wrong
├── Unreachable     3  the CA does not answer
├── RefusedByCA     4  the CA answered no
├── FileProblem     5  a file cannot be read or written
└── PromptNeeded    6  a question must be answered, and there is nobody to ask
    └── Cancelled   6  whoever was asked said no, or pressed Ctrl-C
"""

from typing import ClassVar


class CLIError(Exception):
    """A command ends with ``exit_code``: ``message`` has rule and place, ``hint`` remedy, ``code`` serves scripts."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None, request_id: str | None = None) -> None:
        self.message = message
        self.hint = hint
        self.request_id = request_id
        super().__init__(message)


class Usage(CLIError):
    """The command line is wrong."""

    exit_code = 2
    code = "usage"


class Unreachable(CLIError):
    """The CA does not answer, or what answers is not the CA."""

    exit_code = 3
    code = "unreachable"


class RefusedByCA(CLIError):
    """The CA answered no."""

    exit_code = 4
    code = "refused"


class FileProblem(CLIError):
    """A file cannot be read, written or understood."""

    exit_code = 5
    code = "file"


class PromptNeeded(CLIError):
    """A question must be answered, and there is nobody to ask."""

    exit_code = 6
    code = "prompt"


class Cancelled(PromptNeeded):
    """Whoever was asked said no, or pressed Ctrl-C."""

    code = "cancelled"
