"""What goes wrong at the stand-in for the hub, and what it was asked for."""

from dataclasses import dataclass, field


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Faults:
    """What goes wrong, and how often."""

    drop_after_bytes: list[int] = field(default_factory=list)
    hold_after_bytes: list[int] = field(default_factory=list)  # of whole files; the rest comes at ``go_on``
    answer_status: list[int] = field(default_factory=list)
    ignore_ranges: bool = False
    damage: int = 0  # so many bodies arrive with another first byte
    retry_after: str = ""
    size_shown: str = ""  # in the place of a file's size, in answers to range requests
    # a network's page comes instead: "page", "login" (a redirect to it), "json" without data
    portal: str = ""
    hides_sizes: bool = False  # in listings, as some mirrors do
    gated: set[str] = field(default_factory=set)
    bad_tokens: set[str] = field(default_factory=set)
