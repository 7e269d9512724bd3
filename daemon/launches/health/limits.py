"""The limits of one engine: those of the settings, its longest batch, and how long its answers take. Pure."""

from dataclasses import dataclass

from config.settings import Settings
from daemon.launches.health.policy import Limits
from domain.launches.plan import HOST, LlamaFlags, Plan
from launchers.readiness import Ready

REST = 10.0  # intervals that canaries keep away from clients: their prompt cache is warm
ANSWER = 30.0  # so many intervals for each known question
LEAST_CANARY_S = 8.0
SLOWER = 5.0  # than at the start, a canary may be
QUESTION_TOKENS = 64  # with the chat template
UNKNOWN_CANARY_S = 60.0
BUSY = 4.0  # times as often as idle, a busy engine is looked at
VLLM_BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class CanaryTime:
    """How long a canary of ``tokens`` may take, by the speed of the start."""

    decode_tokens_per_s: float | None
    prefill_tokens_per_s: float | None

    def limit_s(self, tokens: int) -> float:
        if self.prefill_tokens_per_s is None:
            return UNKNOWN_CANARY_S
        decode_s = tokens / (self.decode_tokens_per_s or self.prefill_tokens_per_s)
        return LEAST_CANARY_S + SLOWER * (QUESTION_TOKENS / self.prefill_tokens_per_s + decode_s)


def limits(settings: Settings, plan: Plan | None, ready: Ready | None) -> Limits:
    canary_s = settings.health_canary_s
    tokens = _batch_tokens(plan)
    prefill = None if ready is None else ready.prefill_tokens_per_s
    return Limits(
        idle_s=settings.health_interval_s,
        busy_s=settings.health_interval_s / BUSY,
        stall_s=settings.health_stall_s,
        canary_s=canary_s,
        rest_s=REST * canary_s,
        answer_s=ANSWER * canary_s,
        batch_s=tokens / prefill if tokens and prefill else None,
        on_gpu=plan is None or any(row.device != HOST and row.weights_bytes for row in plan.memory),
        has_projector=_has_projector(plan),
    )


def _has_projector(plan: Plan | None) -> bool:
    return plan is not None and isinstance(plan.flags, LlamaFlags) and plan.flags.mmproj is not None


def _batch_tokens(plan: Plan | None) -> int | None:
    if plan is None:
        return None
    if isinstance(plan.flags, LlamaFlags):
        return plan.flags.batch
    return plan.flags.max_num_batched_tokens or VLLM_BATCH_TOKENS
