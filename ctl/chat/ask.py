"""One question and its answer, streamed or as JSON."""

from ctl.chat.answer import AnswerStats, Chat, Message, Sampling
from ctl.show.launches import api_base
from ctl.terminal import note, print_json, sanitize
from domain.launches.launch import LaunchRow
from domain.units import rate


def answer(
    row: LaunchRow, question: str, sampling: Sampling, *, as_json: bool, system: str | None = None
) -> None:
    """Raises: EngineError."""
    messages = [{"role": "system", "content": system}] if system else []
    chat = chat_with(row, [*messages, {"role": "user", "content": question}], sampling)
    if as_json:
        print_json(as_object(row, "".join(chat), chat.stats))
        return
    for piece in chat:
        print(sanitize(piece), end="", flush=True)
    print(flush=True)
    note(summary(chat.stats, sampling))


def chat_with(row: LaunchRow, messages: list[Message], sampling: Sampling) -> Chat:
    return Chat(api_base(row.endpoint or ""), row.name, messages, sampling)


def as_object(row: LaunchRow, text: str, stats: AnswerStats) -> dict[str, object]:
    return {
        "launch": row.name,
        "answer": text,
        "tokens": stats.tokens,
        "tokens_per_s": stats.tokens_per_s,
        "finish_reason": stats.finish_reason,
    }


def summary(stats: AnswerStats, sampling: Sampling) -> str:
    text = f"[{'?' if stats.tokens is None else stats.tokens} tokens, {rate(stats.tokens_per_s)} tokens/s"
    limit = sampling.max_tokens
    at = "the end of the context" if limit is None else f"{limit}: see --max-tokens"
    cut = f", cut off at {at}" if stats.finish_reason == "length" else ""
    return f"{text}{cut}]"
