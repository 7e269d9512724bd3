"""What is offered where no model has the name. The field names are the contract of the API."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """A repository of the hub, planned for this machine. ``trusted`` says why its publisher comes first,
    empty for others; ``why_not`` why it can't be launched, empty if it can."""

    repo: str
    quant: str | None = None
    size_bytes: int | None = None
    context_tokens: int | None = None
    decode_tokens_per_s: float | None = None
    downloads: int | None = None
    trusted: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Offers:
    """``known``: the name is that of a model, nothing is offered. ``aliases`` are those of the catalogue with
    all the words; ``problem`` says why the hub was not searched."""

    known: bool = False
    aliases: tuple[str, ...] = ()
    hub: tuple[Offer, ...] = ()
    problem: str = ""
