"""The known answers of embedding and reranking models: near texts are nearer, the relevant passage is first.

A model that is damaged, or an engine that computes wrongly, gives vectors of zeros, or in no order.
"""

import math
import time
from typing import Any

import httpx

from domain.errors import EngineError
from domain.models.kinds import Kind
from launchers.command import Command
from launchers.readiness import ANSWER_S, Ready, check_name

QUESTION = "What is the capital of France?"
NEAR = "The capital of France is Paris."
FAR = "Bananas and oranges grow on trees in warm places."
MEASURED_WORDS = 96  # less than the shortest context that a model is planned with
MEASURE_LIMIT_S = 60.0


async def check(http: httpx.AsyncClient, command: Command) -> Ready:
    """Raises: EngineError where the answer is missing, or not that of an intact model."""
    try:
        await check_name(http, command)
        is_reranker = command.kind is Kind.RERANKER
        near, far = await (_scores if is_reranker else _similarities)(http, command.served_name)
    except (httpx.HTTPError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise EngineError(
            f"the engine is healthy but does not answer: {error or type(error).__name__}",
            hint="node-ctl logs shows its output",
            cause="no_answer",
        ) from error
    what = "score" if is_reranker else "similarity"
    answer = f"{what} {near:.3f} of a passage that answers a question, {far:.3f} of another"
    if not near > far:  # also where one is no number
        raise EngineError(
            f"the engine's answer is wrong: {answer}",
            hint="the weights, the driver or the build are at fault: try another build or quant",
            cause="wrong_answer",
            engine_output=answer,
        )
    rate, tokens = await _measure(http, command)
    return Ready(answer, prefill_tokens_per_s=rate, prompt_tokens=tokens, proved=True)


async def _similarities(http: httpx.AsyncClient, model: str) -> tuple[float, float]:
    rows = (await _post(http, "/v1/embeddings", {"model": model, "input": [QUESTION, NEAR, FAR]}))["data"]
    question, near, far = ([float(value) for value in row["embedding"]] for row in sorted(rows, key=_index))
    return _cosine(question, near), _cosine(question, far)


async def _scores(http: httpx.AsyncClient, model: str) -> tuple[float, float]:
    body = {"model": model, "query": QUESTION, "documents": [FAR, NEAR]}
    rows = (await _post(http, "/v1/rerank", body))["results"]
    far, near = (float(row["relevance_score"]) for row in sorted(rows, key=_index))
    return near, far


async def _measure(http: httpx.AsyncClient, command: Command) -> tuple[float | None, int | None]:
    """Tokens/s of one text, and its tokens, by the clock: engines tell no time of it."""
    count = " ".join(str(number) for number in range(MEASURED_WORDS // 2))
    text = f"At {time.time_ns()} I counted: {count}."  # in no cache
    body: dict[str, Any] = {"model": command.served_name, "input": [text]}
    path = "/v1/embeddings"
    if command.kind is Kind.RERANKER:
        path, body = "/v1/rerank", {"model": command.served_name, "query": "count", "documents": [text]}
    begun = time.monotonic()
    try:
        usage = (await _post(http, path, body, limit_s=MEASURE_LIMIT_S)).get("usage") or {}
        tokens = int(usage.get("prompt_tokens") or usage["total_tokens"])
    except (httpx.HTTPError, ValueError, TypeError, AttributeError, KeyError):
        return None, None  # a short context, or a slow machine
    took_s = time.monotonic() - begun
    return (tokens / took_s if took_s > 0 and tokens > 0 else None), tokens


async def _post(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], *, limit_s: float = ANSWER_S
) -> dict[str, Any]:
    """Raises: httpx.HTTPError, ValueError for what is no JSON object, or says why not."""
    response = await http.post(path, json=body, timeout=limit_s)
    if response.status_code != httpx.codes.OK:
        raise ValueError(f"status {response.status_code}: {response.text[:200]}")
    answer = response.json()
    if not isinstance(answer, dict):
        raise ValueError(f"its answer is {type(answer).__name__}, an object is expected")
    return answer


def _index(row: dict[str, Any]) -> int:
    return int(row["index"])


def _cosine(one: list[float], other: list[float]) -> float:
    """``nan`` for a vector of zeros."""
    length = math.hypot(*one) * math.hypot(*other)
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / length if length else math.nan
