"""What llama-server says of a model that it does not load: found in its dry run, before any weights.

Lines as printed by b10434 (``refusals-b10434.txt`` of the captures); sources b11434: ``llama_model_load``,
``gguf_init_from_reader``, ``llama_init_from_model``.
"""

import re
from collections.abc import Iterator

from domain.errors import EngineRefusedError, Refused
from domain.text import printable
from launchers.failures import MAX_GROUP_CHARS, MAX_LINE_CHARS

# The end of the attempt to fit a model that can't be loaded. Then it would try again, with its weights.
GAVE_UP = "encountered an error while trying to fit params"
THIS_BUILD = "this build of llama-server"
_STAMP = re.compile(r"^(?:\d+\.){3,4}\d*\s+[A-Z]\s+")
_LOADING = r"error loading model: "
_MARKS = (_LOADING, "gguf_init_from_", "llama_init_from_model: ")
# What is refused, by the line: the first that matches counts.
_ROWS: tuple[tuple[Refused, str, str], ...] = (
    (
        Refused.MODEL,
        rf"{_LOADING}unknown model architecture: '(.*)'",
        f"{THIS_BUILD} does not know the architecture {{1}}",
    ),
    (
        Refused.FILE,
        r"gguf_init_from_\w+: tensor '(.*)' has invalid ggml type (-?\d+)",
        f"{THIS_BUILD} lacks the tensor type {{2}}, which {{1}} has",
    ),
    (
        Refused.FILE,
        r"gguf_init_from_\w+: (?!failed to )(.+)",
        f"{THIS_BUILD} can't read the header: {{1}}",
    ),
    (
        Refused.MODEL,
        rf"{_LOADING}error loading model hyperparameters: (.+)",
        f"{THIS_BUILD} refuses the header: {{1}}",
    ),
    (
        Refused.MODEL,
        rf"{_LOADING}error loading model vocabulary: (.+)",
        f"{THIS_BUILD} can't use the vocabulary: {{1}}",
    ),
    (
        Refused.FILE,
        rf"{_LOADING}(?:\w+: )?((?:missing )?tensor '.*|wrong number of .*)",
        f"{THIS_BUILD} misses what it expects: {{1}}",
    ),
    (
        Refused.FLAGS,
        r"llama_init_from_model: ([KV] cache type .+|.* requires flash_attn.*|model does not support .+)",
        "llama-server refuses these options for the model: {1}",
    ),
)


def gave_up(output: str) -> bool:
    """Whether the line that says so is there with its end."""
    _, mark, rest = output.partition(GAVE_UP)
    return bool(mark) and "\n" in rest


def find_refusal(output: str) -> EngineRefusedError | None:
    """``None`` where the engine says nothing of the model: it crashed, lacks memory, or can't open a file."""
    said = list(_lines(output))
    for refused, pattern, message in _ROWS:
        compiled = re.compile(pattern)
        for line in said:
            if match := compiled.search(line):
                groups = (match[0], *(group[:MAX_GROUP_CHARS] for group in match.groups()))
                return EngineRefusedError(message.format(*groups), refused=refused, engine_output=line)
    return None


def _lines(output: str) -> Iterator[str]:
    """Those on loading, up to where it gave up, without times. Escapes that a header holds are shown."""
    for line in output.partition(GAVE_UP)[0].split("\n"):
        if not any(mark in line for mark in _MARKS):
            continue
        yield printable(_STAMP.sub("", line[:MAX_LINE_CHARS])).strip()
