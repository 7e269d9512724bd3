"""Candidates of a loss and a speed that a test gives."""

from domain.launches.plan import LLAMA_CPP, Confidence, Estimate, LlamaFlags, Range, Speed
from domain.models.model import ModelShape, ResolvedModel, Source, Weights
from planner.choose.candidates import Candidate

SHAPE = ModelShape("llama", (), 0, {})
# Percent of perplexity that Llama-3-8B gains (ggml-org/llama.cpp tools/perplexity/README.md).
LOSS_PERCENT = {
    "BF16": 0.0,
    "F16": 0.0,
    "Q8_0": 0.02,
    "Q6_K": 0.33,
    "Q5_K_M": 0.9,
    "Q4_K_M": 2.6,
    "Q4_K_S": 3.0,
    "Q3_K_M": 10.0,
    "Q2_K": 39.0,
    "IQ1_S": 840.0,
}


def model(quant: str, size: int = 100, engine: str = LLAMA_CPP) -> ResolvedModel:
    return ResolvedModel(Weights(Source.HUB, "o/r", None, (), quant, size), SHAPE, engine=engine)


def candidate(
    quant: str,
    tokens_per_s: float | None,
    *,
    low: float | None = None,
    prefill: float | None = 1e6,
    batch: float | None = None,
) -> Candidate:
    decode = None if tokens_per_s is None else Range(low or tokens_per_s, tokens_per_s, 999.0)
    speed = Speed(decode, None if prefill is None else Range(prefill, prefill, 999.0))
    return Candidate(
        model(quant),
        LlamaFlags(),
        Estimate(LLAMA_CPP, (), speed, fits=True, confidence=Confidence.ESTIMATED),
        context_tokens=4096,
        cache_type="f16",
        loss=LOSS_PERCENT[quant],
        parallel=1 if batch is None else 4,
        batch_tokens_per_s=batch,
    )
