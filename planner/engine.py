"""The engines of the planner: what each offers, and the registry. See README.md."""

from typing import Protocol

from domain.launches.plan import LLAMA_CPP, VLLM
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape, ResolvedModel
from planner.choose.candidates import Candidate, CandidateDetails
from planner.choose.context import SearchContext
from planner.choose.support import EngineChoice, Share, Shortage, Support
from planner.llama_cpp import engine as llama_cpp
from planner.vllm import engine as vllm


class EnginePlanner(Protocol):
    """What differs from engine to engine. A module ``planner/<engine>/engine.py`` satisfies it."""

    CAN_READ_FROM_DISK: bool
    """Whether the engine can run weights that are larger than memory."""

    def support(self, model: ResolvedModel, hardware: Hardware) -> Support:
        """Whether the engine can run these weights on this machine at all."""

    def as_alternative(self, models: tuple[ResolvedModel, ...], hardware: Hardware) -> EngineChoice:
        """Which ``models`` compete with those of an engine earlier in ``ENGINES``, and why others do not."""

    def cache_types(self, model: ResolvedModel) -> tuple[str, ...]:
        """The KV cache types that a plan of ``model`` chooses from, the default first."""

    def trained_context_tokens(self, shape: ModelShape) -> int:
        """The longest context that the model was trained for."""

    def quality_loss(self, model: ResolvedModel) -> float:
        """Added perplexity of the quant, comparable between quants of one model only."""

    def named_loss(self, quant: str) -> float | None:
        """What Llama-3-8B loses by a quant of this name, as ``sensitivity.loss_percent`` takes it; ``None``
        if none is called that."""

    def find_candidates(
        self, model: ResolvedModel, context_tokens: int, search: SearchContext
    ) -> tuple[Candidate, ...]:
        """Candidates with ``context_tokens`` per sequence, the plainest first; empty if none fits."""

    def tune(self, chosen: Candidate, search: SearchContext) -> Candidate:
        """``chosen`` with flags that are too costly to vary for every candidate."""

    def with_batch_of(self, candidate: Candidate, chosen: Candidate, search: SearchContext) -> Candidate:
        """``candidate`` with the batch of ``chosen``, so that both are compared alike."""

    def min_bytes(self, model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
        """The least that the model needs over all devices together, whatever the machine has."""

    def shortage(self, model: ResolvedModel, context_tokens: int, search: SearchContext) -> Shortage:
        """What the machine lacks for a model that does not fit."""

    def nearest_placement(
        self, model: ResolvedModel, context_tokens: int, search: SearchContext
    ) -> tuple[Share, ...]:
        """Where a model that does not fit would lie, with the least missing."""

    def max_context_tokens(
        self, candidate: Candidate, search: SearchContext, cache_type: str | None = None
    ) -> int:
        """The longest context of each sequence that fits with all other flags unchanged; 0 if none.

        ``cache_type``: instead of that of the candidate. At most what the model was trained for."""

    def describe(self, candidate: Candidate, search: SearchContext) -> CandidateDetails:
        """What a plan says of the candidate."""


# In the order of preference where several can run a model alike.
ENGINES: dict[str, EnginePlanner] = {LLAMA_CPP: llama_cpp, VLLM: vllm}
