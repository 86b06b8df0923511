"""What ``certificate verify`` finds: whether one of the paths holds, and else what to tell."""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from mica.cli.kit import printable, rfc3339, span
from mica_certtool.judging import validation
from mica_certtool.judging.paths import Chain, DeadEnd, Search, leaf_of, title, titles
from mica_certtool.judging.revocation import revocations
from mica_certtool.judging.validation import Demands, Fault
from mica_certtool.reading.members import summary
from mica_certtool.reading.names import general_name_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be judged; ``lists`` is None when revocation is not asked about."""

    given: Chain
    """The certificates of the file, in whatever order, or of the server, whose own is the first."""
    others: Chain
    anchors: Chain
    lists: tuple[x509.CertificateRevocationList, ...] | None
    demands: Demands
    is_server: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether the certificate ``chain[0]`` is good, and every reason why not."""

    holds: bool
    chain: Chain
    reasons: tuple[str, ...]
    hint: str | None = None


def judge(question: Question) -> Judgement:
    """The verdict on the first path that holds, else on the one with the fewest faults."""
    leaf = question.given[0] if question.is_server else leaf_of(question.given)
    search = Search(anchors=question.anchors, others=(*question.given, *question.others))
    best: tuple[Chain, list[Fault]] | None = None
    for chain in search.paths(leaf):
        faults = validation.faults(chain, question.demands)
        if question.lists is not None:
            faults += revocations(chain, question.lists, question.demands.at)
        if not faults:
            return Judgement(holds=True, chain=chain, reasons=())
        if best is None or len(faults) < len(best[1]):
            best = (chain, faults)
    if best is not None:
        return Judgement(holds=False, chain=best[0], reasons=_sentences(best[0], best[1]))
    return _stuck(search, question)


def _stuck(search: Search, question: Question) -> Judgement:
    """The verdict when no path reaches an anchor: where the longest one ends, and what is wrong on the way there."""
    end: DeadEnd = max(search.dead_ends, key=lambda one: len(one.chain))
    found = [Fault(certificate=end.chain[-1], message=end.reason)]
    found += validation.faults(end.chain, question.demands)
    hint = "name the root with --roots, and issuers that are missing with --issuing-ca"
    return Judgement(holds=False, chain=end.chain, reasons=_sentences(end.chain, found), hint=hint)


def _sentences(chain: Chain, faults: list[Fault]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            f"{'it' if fault.certificate == chain[0] else title(fault.certificate)} {fault.message}" for fault in faults
        )
    )


def members(judged: Judgement) -> dict[str, object]:
    """The verdict for ``--json``."""
    return {
        "valid": judged.holds,
        "reasons": list(judged.reasons),
        "chain": list(map(summary, judged.chain)),
    }


def rows(judged: Judgement, question: Question) -> Iterator[str]:
    """What was checked, one row for each; the last says that the certificate is valid. Safe for a terminal."""
    demands, leaf = question.demands, judged.chain[0]
    yield printable(f"chain: {titles(judged.chain)}, which is trusted")
    yield "signatures, constraints and key usages hold"
    left = span(leaf.not_valid_after_utc - demands.at)
    yield f"validity: until {rfc3339(leaf.not_valid_after_utc)}, {left} remaining"
    if demands.purpose != "any":
        yield f"purpose: TLS {demands.purpose}"
    if demands.host is not None:
        yield printable(f"host: {general_name_text(demands.host)}")
    if question.lists is not None:
        yield "revocation: not on the list of its issuer"
    yield "certificate is valid"
