"""Bodies of requests. A key that is not known is refused: a typo must not be a silent default."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from daemon.schedules.words import parse
from daemon.state.records import PullRequest
from domain.download import DownloadPolicy, parse_rate, parse_window
from domain.errors import UsageError
from domain.launches.plan import LaunchOptions
from domain.launches.schedule import Action, Missed, ScheduleRequest
from domain.launches.serving import MAX_IDLE_S, Policy, ServingChange, TenantPolicy
from domain.machine import validation
from domain.machine.hardware import Hardware
from domain.priority import Priority
from domain.serialization import from_json

Count = Annotated[int, Field(ge=1, le=2**31)]
NO_NUL = r"^[^\x00]*$"  # no path and no argument of a program can have one
Model = Annotated[str, Field(min_length=1, max_length=4096, pattern=NO_NUL)]
Folder = Annotated[str, Field(min_length=1, max_length=4096, pattern=NO_NUL)]
Argument = Annotated[str, Field(max_length=16_384, pattern=NO_NUL)]
MAX_CONTEXT = "max"


def _context(value: object) -> object:
    """One line for what is neither a number of tokens nor ``"max"``, not one for each."""
    if value is None or value == MAX_CONTEXT or (type(value) is int and 1 <= value <= 2**31):
        return value
    raise PydanticCustomError("context", 'give a number of tokens from 1 to 2147483648, or "max"')


Context = Annotated[Count | Literal["max"] | None, BeforeValidator(_context)]
Word = Annotated[str, Field(max_length=256, pattern=NO_NUL)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)  # true is no number, and "1" is none


class OptionsBody(Body):
    model: Model
    context_tokens: Context = None
    parallel: Annotated[int, Field(ge=1, le=1024)] | None = None
    min_decode_tokens_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    quality: Word | None = None
    engine: Literal["llama.cpp", "vllm"] | None = None
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None
    from_disk: bool = False
    use: Literal["chat", "agent", "batch"] | None = None
    no_mmproj: bool = False
    no_draft: bool = False
    min_context_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    min_quality: Word | None = None

    def options(self) -> LaunchOptions:
        return LaunchOptions(
            context_tokens=self.context_tokens if isinstance(self.context_tokens, int) else None,
            parallel=self.parallel,
            min_decode_tokens_per_s=self.min_decode_tokens_per_s,
            quality=self.quality,
            engine=self.engine,
            threads=self.threads,
            from_disk=self.from_disk,
            use=self.use,
            no_mmproj=self.no_mmproj,
            no_draft=self.no_draft,
            max_context=self.context_tokens == MAX_CONTEXT,
            min_context_tokens=self.min_context_tokens,
            min_quality=self.min_quality,
        )


class PlanBody(OptionsBody):
    """``explain``: also of a model that does not fit, which takes as long again."""

    on: dict[str, Any] | None = None
    explain: bool = False


class CatalogueBody(Body):
    check: bool = False


class OffersBody(OptionsBody):
    model: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.\- ]+$")]


class SearchBody(Body):
    words: Annotated[str, Field(min_length=1, max_length=200)]
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    formats: Annotated[list[Literal["gguf", "safetensors"]], Field(max_length=2)] = []


class CompareBody(Body):
    models: Annotated[list[Model], Field(min_length=1, max_length=16)]
    on: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=64)]


class EstimateBody(Body):
    model: Model
    on: dict[str, Any] | None = None
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    depth_tokens: Annotated[int, Field(ge=0, le=2**31)] = 0
    engine: Literal["llama.cpp", "vllm"] | None = None
    args: Annotated[list[Argument], Field(max_length=1024)] = []


class LaunchBody(OptionsBody):
    name: Word | None = None
    retune: bool = False
    policy: Literal["on-demand", "always", "never"] | None = None
    idle_s: Annotated[float, Field(gt=0, le=MAX_IDLE_S, allow_inf_nan=False)] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    pinned: bool | None = None
    tenants: Literal["yield", "wait", "ignore"] | None = None

    def serving(self) -> ServingChange:
        policy = None if self.policy is None else Policy(self.policy)
        tenants = None if self.tenants is None else TenantPolicy(self.tenants)
        return ServingChange(policy, self.idle_s, self.priority, self.pinned, tenants)


class PullBody(OptionsBody):
    limit: Word | None = None
    window: Word | None = None

    def request(self, usual: DownloadPolicy) -> PullRequest:
        """Raises: UsageError for a rate or a window that can't be parsed."""
        try:
            limit = usual.limit_bytes_per_s if self.limit is None else parse_rate(self.limit)
            hours = usual.window if self.window is None else parse_window(self.window)
        except ValueError as error:
            raise UsageError(str(error)) from error
        policy = replace(usual, limit_bytes_per_s=limit, window=hours)
        return PullRequest(self.model, self.options(), None if policy == usual else policy)


class ModelBody(Body):
    model: Model


class PinBody(ModelBody):
    pinned: bool = True


class RoomBody(Body):
    free_bytes: Annotated[int, Field(ge=0, le=2**60)] | None = None
    dry_run: bool = False


class AdoptBody(Body):
    folder: Folder | None = None


class ProveBody(Body):
    depth_tokens: Count | None = None


class EngineCheckBody(Body):
    path: Folder | None = None
    model: Model | None = None


class StopBody(Body):
    forget: bool = False


def profile(data: dict[str, Any] | None) -> Hardware | None:
    """The hardware of another machine. Raises: UsageError that names the field."""
    if data is None:
        return None
    try:
        box = from_json(Hardware, data)
        validation.check_figures(box)
    except ValueError as error:
        raise UsageError(f"profile: {error}", hint="node-ctl probe --save writes one") from error
    return box


class ScheduleBody(Body):
    words: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]
    action: Literal["start", "stop", "swap", "downloads", "gc", "verify", "prove"]
    names: Annotated[list[Model], Field(max_length=20)] = []
    missed: Literal["run", "skip"] = "run"
    free_bytes: Annotated[int, Field(ge=0, le=2**60)] | None = None

    def request(self) -> ScheduleRequest:
        """Raises: UsageError for words that name no time."""
        when, action, missed = parse(self.words), Action(self.action), Missed(self.missed)
        return ScheduleRequest(action, tuple(self.names), self.words, when, missed, self.free_bytes)


class NotifyTestBody(Body):
    target: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[\w-]+$")] | None = None


class KeyBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[\x20-\x7e]+$")]


class NewKeyBody(KeyBody):
    models: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=64)] = []
    priority: Annotated[Priority, Field(strict=False)] = Priority.INTERACTIVE
    rate: Annotated[str, Field(max_length=80)] | None = None


class LanBody(Body):
    on: bool
    key_name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[\x20-\x7e]+$")] = "lan"
