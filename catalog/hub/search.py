"""Searches the hub for repositories of the formats that engines here load, by words in their names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from catalog.formats import registry
from catalog.formats.safetensors.reader import DTYPE_BITS
from catalog.hub.errors import Resource, endpoint, no_data, translate_errors
from catalog.names import REPO_NAME
from domain.errors import UsageError
from domain.models.catalogue_types import KnownModel
from domain.models.search_result import SearchResult

ANSWER_TIMEOUT_S = 10.0  # the hub searches all its names
FORMATS = tuple(registry.FORMATS)
_EXPAND = ["downloads", "gated", "gguf", "safetensors", "tags"]
_LICENCE = "license:"


def search(
    words: str, *, catalogue: Mapping[str, KnownModel], limit: int, formats: Sequence[str] = FORMATS
) -> tuple[SearchResult, ...]:
    """At most ``limit``, the most downloaded of the last month first.

    Raises: UnavailableError, DownloadError, UsageError for no words at all."""
    if not words.strip():
        raise UsageError("there is nothing to search for", hint="node-ctl search WORDS")
    aliases = {
        repo: alias for alias, model in catalogue.items() for repo in (*model.gguf_repos, *model.vllm_repos)
    }
    results: dict[str, SearchResult] = {}
    for kind in formats:
        with translate_errors(Resource()):
            try:
                infos = _list_models(words, kind, limit)
            except (KeyError, TypeError, AttributeError) as error:  # of JSON that is no list of models
                raise no_data(Resource(), "something else") from error
        for info in infos:
            if REPO_NAME.fullmatch(str(info.id)):
                results.setdefault(info.id, _result(info, aliases.get(info.id)))
    return tuple(sorted(results.values(), key=lambda result: -(result.downloads or 0))[:limit])


def _list_models(words: str, kind: str, limit: int) -> list[Any]:
    """One try with a time limit, through the client's session. The client's own ``list_models`` has none and
    tries six times: without a network that takes 23 s. Source: huggingface_hub, utils/_http.py, http_backoff.
    """
    from huggingface_hub import ModelInfo, utils  # noqa: PLC0415  # 0.2 s of import, for those who go online

    parse: Callable[..., Any] = ModelInfo  # its arguments are untyped
    params: dict[str, Any] = {
        "search": words,
        "filter": kind,
        "sort": "downloads",
        "limit": limit,
        "expand": _EXPAND,
    }
    response = utils.get_session().get(
        f"{endpoint()}/api/models", params=params, headers=utils.build_hf_headers(), timeout=ANSWER_TIMEOUT_S
    )
    utils.hf_raise_for_status(response)
    return [parse(**{"siblings": None, **item}) for item in response.json()[:limit]]


def _result(info: Any, alias: str | None) -> SearchResult:
    tags = [str(tag) for tag in info.tags] if isinstance(info.tags, list) else []
    licences = [tag.removeprefix(_LICENCE) for tag in tags if tag.startswith(_LICENCE)]
    by_type = info.safetensors.parameters if info.safetensors else {}
    gguf = info.gguf if isinstance(info.gguf, Mapping) else {}
    return SearchResult(
        repo=info.id,
        formats=tuple(kind for kind in FORMATS if kind in tags),
        downloads=_count(info.downloads),
        parameters=_count(gguf.get("total")) or _count(getattr(info.safetensors, "total", None)),
        size_bytes=_size_bytes(by_type),
        licence=licences[0] if licences else None,
        gated=None if info.gated is None else bool(info.gated),
        alias=alias,
    )


def _size_bytes(by_type: object) -> int | None:
    """``None`` if a type or its count is not known: the sum would be too small."""
    if not isinstance(by_type, Mapping) or not by_type:
        return None
    bits = [(DTYPE_BITS.get(kind), _count(count)) for kind, count in by_type.items()]
    if any(width is None or count is None for width, count in bits):
        return None
    return sum((width or 0) * (count or 0) for width, count in bits) // 8


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
