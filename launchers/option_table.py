"""An engine's options as a table: what parsing a command line and building one have in common."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import EngineError, UsageError
from domain.suggestions import did_you_mean
from launchers.base import Capabilities

OPTION = re.compile(r"-{1,2}[A-Za-z]")


def split_option(token: str) -> tuple[str, str, str]:
    """``--max_model_len=8`` -> ``--max-model-len``, ``=``, ``8``."""
    name, equals, value = token.partition("=")
    return (name.replace("_", "-") if name.startswith("--") else name), equals, value


def _same(name: str) -> str:
    return name


@dataclass(frozen=True, slots=True)
class OptionTable:
    """The options of ``program``, each with the number of words that follow it, ``None`` for all up to the
    next option. ``help_command`` prints them. ``key`` maps an option as typed to its row."""

    program: str
    help_command: str
    word_counts: Mapping[str, int | None]
    key: Callable[[str], str] = _same

    def read(self, args: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Each option of a command line with its words. ``--name=value`` and underscores are accepted.

        Raises: UsageError, with the nearest option for one that is not in the table."""
        rest = list(args)
        while rest:
            token = rest.pop(0)
            name, equals, value = split_option(token)
            if self.key(name) not in self.word_counts:
                raise self._unknown(token)
            yield name, self._words(name, [value] if equals else [], rest)

    def _words(self, name: str, words: list[str], rest: list[str]) -> list[str]:
        """Takes the words of ``name`` off the front of ``rest``; ``words`` came with ``=``."""
        count = self.word_counts[self.key(name)]
        if count == 0 and words:
            raise UsageError(f"{name} takes no value, found {words[0]!r}")
        if count is None:
            following = next((i for i, word in enumerate(rest) if OPTION.match(word)), len(rest))
            count = len(words) or following
        taken = max(0, count - len(words))
        words += rest[:taken]
        del rest[:taken]
        if len(words) < count:
            expected = "a value" if count == 1 else f"{count} values"
            raise UsageError(f"{name} takes {expected}, found {len(words) or 'none'}")
        return words

    def _unknown(self, token: str) -> UsageError:
        if not token.startswith("-"):
            return UsageError(
                f"{token!r} is not an option of {self.program}", hint="options begin with - or --"
            )
        return UsageError(
            f"{self.program} has no option {token}",
            hint=did_you_mean(
                split_option(token)[0], self.word_counts, otherwise=f"{self.help_command} lists them"
            ),
        )


def check_reserved(extra: Sequence[str], reserved: Sequence[str]) -> None:
    """Raises: UsageError for extra options that the daemon sets itself."""
    if taken := sorted(set(reserved) & {split_option(word)[0] for word in extra}):
        raise UsageError(f"{', '.join(taken)} is set by the daemon", hint="leave it out")


def missing_option(option: str, caps: Capabilities, *, hint: str) -> EngineError:
    return EngineError(
        f"{caps.path} ({caps.version or 'version unknown'}) has no {option}, which this plan needs",
        hint=hint,
        cause="flag_missing",
    )
