"""The launches that clients can ask, by the names that they may use."""

from collections.abc import Iterable
from dataclasses import dataclass

from catalog import names
from catalog.names import REPO_NAME
from daemon.access.allowed import may_ask
from daemon.app import App
from daemon.gateway import routing
from daemon.gateway.errors import GatewayError, Reason
from daemon.launches.launch import Launch
from domain.anonymize import without_secrets
from domain.errors import NodeError
from domain.launches.launch import LaunchState
from domain.launches.plan import LlamaFlags, Plan
from domain.models.kinds import Kind


@dataclass(frozen=True, slots=True)
class Facts:
    """What the running engine says of itself. ``context_tokens`` are those of one conversation."""

    context_tokens: int | None = None
    vision: bool = False
    audio: bool = False
    tools: bool | None = None


def served_launches(app: App, key: str | None = None) -> list[Launch]:
    """Those that are desired, or that a request starts, in the order of their launch: what clients with that
    key may list."""
    return [
        launch for launch in app.launches.values() if launch.is_offered and may_ask(app, key, launch.name)
    ]


def find_launch(app: App, asked: str | None, kinds: Iterable[Kind] = tuple(Kind)) -> Launch:
    """The launch that ``asked`` names, among those of ``kinds`` where nothing is asked for.

    Raises: GatewayError in the words of routing; for a launch that is stopped, and for one that can't do it.
    """
    kinds = tuple(kinds)
    named = app.launches.get(asked or "")  # as most requests do
    if named is not None and named.is_offered and kind_of(named) in kinds:
        return named
    launches = served_launches(app)
    known = [_name(app, launch, kinds) for launch in launches]
    try:
        name = routing.find(asked, known, lambda text: canonical(app, text))
    except GatewayError:
        if named is None:
            raise
        message = f"{named.name} is {named.state}: node-ctl start {named.name} serves it again"
        raise GatewayError(Reason.UNKNOWN_MODEL, message) from None
    launch = app.launches[name]
    if kind_of(launch) not in kinds:
        raise _cannot(launch, kinds[0], [other.name for other in launches if kind_of(other) in kinds])
    return launch


def _cannot(launch: Launch, needed: Kind, able: list[str]) -> GatewayError:
    others = f", such as {', '.join(able)}" if able else ""
    found = kind_of(launch).description
    message = f"this needs {needed.description}{others}; {launch.name} is {found}"
    return GatewayError(Reason.NOT_SUPPORTED, message)


def canonical(app: App, text: str) -> tuple[str, ...]:
    """What the catalogue calls ``text``: its own alias, also of a name as Ollama spells it."""
    try:
        parsed = names.parse(text, app.catalogue)
    except NodeError:
        return ()
    match parsed.target:
        case names.Alias(alias, quant):
            return (alias,) if quant is None else (f"{alias}:{quant}",)
        case names.Repo(repo=repo, quant=quant):
            return (repo, *_aliases(app, repo)) if quant is None else (f"{repo}:{quant}",)
    return ()


def _name(app: App, launch: Launch, kinds: tuple[Kind, ...]) -> routing.ServedName:
    return routing.ServedName(
        launch.name,
        spellings(app, launch),
        is_ready=launch.state is LaunchState.READY,
        serves=kind_of(launch) in kinds,
    )


def spellings(app: App, launch: Launch) -> tuple[str, ...]:
    """What else the model of ``launch`` is called: as it was asked for, its alias and its repository, each
    alone and with the quant."""
    asked = without_secrets(launch.request.model)
    known = canonical(app, asked)
    # Only a quant is left out: of ``qwen3:14b``, ``qwen3`` is another model.
    called = [asked, *known, *(name.rpartition(":")[0] for name in known if ":" in name)]
    if (plan := launch.plan) is not None:
        quant, repo = plan.weights.quant, plan.weights.repo
        bases = [name for name in called if name in app.catalogue]
        bases += _aliases(app, repo)
        bases += [repo] if REPO_NAME.fullmatch(repo) else []
        called += [spelling for base in bases for spelling in (base, f"{base}:{quant}")]
    return tuple(dict.fromkeys(called))


def _aliases(app: App, repo: str) -> list[str]:
    return [alias for alias, known in app.catalogue.items() if repo.lower() in map(str.lower, known.origins)]


def kind_of(launch: Launch) -> Kind:
    return Kind.MODEL if launch.plan is None else launch.plan.weights.kind


def planned_facts(plan: Plan | None) -> Facts:
    """As planned, for a launch whose engine can't be asked yet."""
    if plan is None:
        return Facts()
    vision = isinstance(plan.flags, LlamaFlags) and plan.flags.mmproj is not None
    return Facts(plan.context_tokens, vision=vision)
