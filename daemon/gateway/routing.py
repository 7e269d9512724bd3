"""Which served model a name in a request means. Pure: names in, a name or an error out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from daemon.gateway.errors import GatewayError, Reason, UnknownServedModelError
from domain.suggestions import near

LATEST = ":latest"  # Ollama's clients add it to names without a tag
HOSTS = ("hf.co/", "huggingface.co/", "hf:")


@dataclass(frozen=True, slots=True)
class ServedName:
    """One launch as clients may name it. ``spellings`` are what else its model is called, ``is_ready``
    decides between launches of one model. ``serves``: whether it can do what is asked for."""

    name: str
    spellings: tuple[str, ...] = ()
    is_ready: bool = True
    serves: bool = True


def find(
    asked: str | None,
    served: Sequence[ServedName],
    canonical: Callable[[str], Iterable[str]] = lambda name: (name,),
) -> str:
    """The name of the launch. ``canonical`` gives the names that a catalogue knows ``asked`` by.

    The name of a launch comes first, then what its model is called. Without a name the only launch that
    can do it is meant. Raises: UnknownServedModelError with near names; GatewayError without a name, where
    there are several.
    """
    if not asked:
        return _only(served)
    bare = _bare(asked)
    for one in served:
        if one.name in (asked, bare):
            return one.name
    wanted = {bare, *(_bare(name) for name in canonical(bare))}
    found = [one for one in served if wanted & {one.name, *map(_bare, one.spellings)}]
    if found:
        return max(found, key=lambda one: (one.serves, one.is_ready)).name
    raise unknown(asked, served)


def unknown(asked: str, served: Sequence[ServedName]) -> UnknownServedModelError:
    names = [one.name for one in served]
    shown = asked if len(asked) <= 100 else f"{asked[:100]}..."
    meant = near(asked[:255], (spelling for one in served for spelling in (one.name, *one.spellings)))
    if meant:
        return UnknownServedModelError(
            f"no model is served as {shown!r}: did you mean {', '.join(meant)}?", near=meant
        )
    others = f"served: {', '.join(sorted(names))}" if names else "none is served: node-ctl launch MODEL"
    return UnknownServedModelError(f"no model is served as {shown!r}; {others}")


def _only(served: Sequence[ServedName]) -> str:
    able = [one.name for one in served if one.serves]
    if len(able) == 1:
        return able[0]
    if not able:
        raise UnknownServedModelError("no model is served that can answer this: node-ctl launch MODEL")
    raise GatewayError(
        Reason.INVALID, f"the request names no model, and {len(able)} are served: {', '.join(sorted(able))}"
    )


def _bare(name: str) -> str:
    """Case, the hub's host and ``:latest`` make no other model."""
    lowered = name.strip().lower().removesuffix(LATEST)
    for host in HOSTS:
        lowered = lowered.removeprefix(host)
    return lowered
