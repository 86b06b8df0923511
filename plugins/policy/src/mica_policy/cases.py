"""Cases for a policy: certificates that nobody orders, and what is expected to become of them."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from mica import CertType, ConfigError, MalformedRequest, principals
from mica.cli.kit import FileProblem, classify
from mica.structuring import structure
from mica_policy.policy import Policy, verdict
from mica_policy.presented import Presented, ssh_names, x509_order


def _setting(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A certificate, and what is to become of it."""

    kind: Literal["x509", "ssh user", "ssh host"]
    expected: Literal["allow", "deny"]
    provisioner: str | None = _setting("Who vouches for it; nobody: the authority's policy alone")
    common_name: str = _setting("The common name of an X.509 certificate", "")
    names: tuple[str, ...] = _setting("The names of an X.509 certificate", ())
    principals: tuple[str, ...] = _setting("The principals of an SSH certificate", ())
    renewal: bool = _setting("Whether it is renewed", False)
    reason: str = _setting("What one of the reasons holds, where it is denied", "")

    def __post_init__(self) -> None:
        """It says what it needs; raises ConfigError with what is wrong."""
        if faults := list(self._faults()):
            raise ConfigError(faults)

    @property
    def cert_type(self) -> CertType | None:
        """Whom an SSH certificate is for; None for X.509."""
        return {"ssh user": CertType.USER, "ssh host": CertType.HOST}.get(self.kind)

    @property
    def presented(self) -> list[Presented]:
        """Its names, as the server has them when it asks the policy."""
        if self.cert_type is not None:
            return ssh_names(self.cert_type, self.principals)
        return list(x509_order((self.common_name,), map(classify, self.names)))

    def _faults(self) -> Iterator[str]:
        is_x509 = self.kind == "x509"
        if is_x509 and self.principals:
            yield "principals: are for SSH; an X.509 certificate has names"
        if not is_x509 and (self.names or self.common_name):
            yield "names: and common_name are for X.509; an SSH certificate has principals"
        if not (self.names or self.common_name or self.principals):
            yield f"{'names' if is_x509 else 'principals'}: must hold at least one name"
        if self.principals and not is_x509:
            yield from (f"principals: {fault}" for fault in principals.faults(self.principals))
        if self.reason and self.expected == "allow":
            yield 'reason: there is none where "allow" is expected'
        for index, name in enumerate(self.names):
            try:
                classify(name)
            except MalformedRequest as error:
                yield f"names[{index}]: {error}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a case."""

    case: Case
    reasons: tuple[str, ...]
    """Why the rules refuse it, whatever their mode."""
    let_through: bool
    """Whether it would be issued all the same: what refuses it is in shadow mode."""

    @property
    def denied(self) -> bool:
        """Whether the rules refuse it."""
        return bool(self.reasons)

    @cached_property
    def as_expected(self) -> bool:
        """Whether that is what was expected, and for the reason that was."""
        told = not self.case.reason or any(self.case.reason in reason for reason in self.reasons)
        return self.denied is (self.case.expected == "deny") and told

    @property
    def answer(self) -> dict[str, object]:
        """The verdict, for ``--json``."""
        return {"allowed": not self.denied, "reasons": list(self.reasons), "shadow": self.let_through}

    @property
    def described(self) -> dict[str, object]:
        """The case and its verdict, for ``--json``."""
        return {"case": self._title, "expected": self.case.expected, "passed": self.as_expected, **self.answer}

    @property
    def answer_lines(self) -> Iterator[str]:
        """The verdict, for people."""
        yield "denied, and let through in shadow mode" if self.let_through else "denied" if self.denied else "allowed"
        yield from (f"  {reason}" for reason in self.reasons)

    @property
    def lines(self) -> Iterator[str]:
        """The case and its verdict, for people."""
        first, *rest = self.answer_lines
        yield f"{'✔' if self.as_expected else '✘'} {self._title}: {first}"
        if not self.as_expected:
            wanted = f", because of {self.case.reason!r}" if self.case.reason else ""
            yield f"  expected: {self.case.expected}{wanted}"
        yield from rest

    @property
    def _title(self) -> str:
        case = self.case
        named = [f"CN {case.common_name}"] if case.common_name else []
        words = [case.kind, ", ".join([*named, *case.names, *case.principals])]
        if case.provisioner:
            words.append(f"by {case.provisioner}")
        return " ".join([*words, *(["(renewal)"] if case.renewal else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """A file of cases."""

    cases: tuple[Case, ...]


def read_cases(source: bytes, place: str) -> tuple[Case, ...]:
    """The cases in a TOML document; raises FileProblem with everything that is wrong with it."""
    try:
        cases = structure(Cases, tomllib.loads(source.decode()), place).cases
    except RecursionError as error:
        raise FileProblem(f"{place}: is nested too deeply") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileProblem(f"{place}: is not TOML: {error}") from error
    except ConfigError as error:
        raise FileProblem("\n".join(error.faults)) from error
    if not cases:
        raise FileProblem(f"{place}: holds no case", hint="each is a table [[cases]]")
    return cases


def judge(policy: Policy, case: Case) -> Outcome:
    """What the rules say of the case, in shadow mode too."""
    found = verdict(policy.rulesets(case.provisioner, renewal=case.renewal), case.cert_type, case.presented)
    return Outcome(
        case=case, reasons=found.reasons + found.shadowed, let_through=bool(found.shadowed) and not found.reasons
    )
