"""What of a repository a plan uses beside the model: a projector for images, and what drafts tokens."""

from dataclasses import dataclass, replace
from typing import TypedDict

from domain.launches.plan import LaunchOptions, LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.classification import draft_method_of, mtp_layers_of
from domain.models.kinds import DraftMethod, Kind
from domain.models.model import ModelShape, ResolvedModel
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.machine.devices import llama_cpp_build

# Architectures whose head drafts in every build known here, and those that later ones added. Source: what
# 0.10068.0 and 0.10434.0 did with them, and ``graph_mtp`` in ``src/models`` of b11434.
MTP_HEADS = frozenset({"qwen35", "qwen35moe"})
LATER_MTP_HEADS = frozenset(
    {"bailingmoe3", "cohere2moe", "deepseek2", "deepseek32", "deepseek4", "glm-dsa", "glm4moe", "hy-v3"}
    | {"mimo2", "nemotron_h_moe", "qwen3next", "qwen4exp", "step35"}
)
LAST_BUILD_WITH_FEW_HEADS = 10434
HEAD_IN_WORDS = "its head for multi-token prediction"
MAX_VOCABULARY_DIFFERENCE = 128  # SPEC_VOCAB_MAX_SIZE_DIFFERENCE


class Shapes(TypedDict):
    mmproj: ModelShape | None
    draft: ModelShape | None


@dataclass(frozen=True, slots=True)
class Draft:
    """``name`` of a file beside the model, ``None`` for a head in the model's own."""

    method: DraftMethod
    name: str | None = None


def shapes(model: ResolvedModel, flags: LlamaFlags) -> Shapes:
    """Of the files that ``flags`` name."""
    by_name = model.companion_shapes
    return Shapes(
        mmproj=by_name.get(flags.mmproj) if flags.mmproj else None,
        draft=by_name.get(flags.draft_model) if flags.draft_model else None,
    )


def projector(model: ResolvedModel, options: LaunchOptions) -> str | None:
    """The name of the file."""
    if options.no_mmproj:
        return None
    named = (companion.file.name for companion in model.weights.beside if companion.role is Kind.PROJECTOR)
    return next((name for name in named if name in model.companion_shapes), None)


def drafts(model: ResolvedModel, options: LaunchOptions, hardware: Hardware) -> tuple[Draft, ...]:
    """What could draft for it, whether that gains or not."""
    if options.no_draft or not model.may_draft or not model.exact:
        return ()
    by_name = model.companion_shapes
    found = [
        Draft(draft_method_of(by_name[name]) or DraftMethod.SIMPLE, name)
        for name in (
            companion.file.name for companion in model.weights.beside if companion.role is Kind.DRAFT
        )
        if name in by_name and _speaks_alike(by_name[name], model.shape)
    ]
    has_head = mtp_layers_of(model.shape) > 0 and _runs_head(model.shape.architecture, hardware)
    return (*((Draft(DraftMethod.MTP),) if has_head else ()), *found)


def _speaks_alike(draft: ModelShape, shape: ModelShape) -> bool:
    """Whether both have about as many tokens. Source: ``common_speculative_are_compatible``."""
    counts = [one.array_lengths.get("tokenizer.ggml.tokens") for one in (draft, shape)]
    known = [count for count in counts if count]
    return len(known) < 2 or abs(known[0] - known[1]) <= MAX_VOCABULARY_DIFFERENCE


def _runs_head(architecture: str, hardware: Hardware) -> bool:
    build = llama_cpp_build(hardware)
    is_later = build is None or build > LAST_BUILD_WITH_FEW_HEADS
    return architecture in MTP_HEADS or (is_later and architecture in LATER_MTP_HEADS)


def with_draft(flags: LlamaFlags, draft: Draft, tokens: int) -> LlamaFlags:
    """Proposing so many tokens at a time. A file of its own is where the model's layers are."""
    flags = replace(flags, speculative=(draft.method.value,), draft_max=tokens, draft_model=draft.name)
    if draft.name is None:
        return flags
    return replace(flags, draft_gpu_layers=ALL_LAYERS if flags.gpu_layers else 0)


def without_draft(flags: LlamaFlags) -> LlamaFlags:
    return replace(flags, speculative=(), draft_max=None, draft_model=None, draft_gpu_layers=None)
