"""Before and after the start of an engine: told where to save its slots, and given back what it had."""

import asyncio
import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

from daemon.app import App
from daemon.launches.conversations import files
from daemon.launches.conversations.copies import Copies, Counts, Keeps
from daemon.launches.conversations.keeping import Conversations, Useless
from daemon.launches.conversations.policy import Rates
from daemon.launches.launch import Launch
from domain.errors import StateError
from domain.launches.plan import LLAMA_CPP, LlamaFlags, Plan
from launchers.base import Capabilities
from launchers.command import Command

log = logging.getLogger(__name__)

SAVES = "--slot-save-path"
# Else an engine whose slots share a cache empties those that are idle at each request.
KEEPS_IDLE = "--no-cache-idle-slots"
IDENTITY = "NODE_DAEMON_CONVERSATIONS"  # a later daemon that adopts the engine reads it from its command
KEY = "conversations"


async def with_saving(app: App, launch: Launch, command: Command, caps: Capabilities) -> Command:
    """``command``, with the options to save its slots, where the build has them and the plan can."""
    plan = launch.plan
    flags = None if plan is None else plan.flags
    if plan is None or not isinstance(flags, LlamaFlags) or flags.is_pooled or SAVES not in caps.flags:
        return command
    if not app.settings.conversation_cache_gb or any(word.startswith(SAVES) for word in flags.extra):
        return command
    if flags.draft_model is not None:  # a draft's own cache is in no file
        return command
    try:
        # In a unit its home is its working directory: what that is called, the engine's user alone knows.
        path = "." if app.is_service else str(await asyncio.to_thread(files.make_folder, app, launch.name))
        identity = await asyncio.to_thread(identity_of, plan, flags, caps)
    except OSError as error:
        log.warning("conversations are not saved: launch=%s %s", launch.name, error)
        return command
    idle = (KEEPS_IDLE,) if KEEPS_IDLE in caps.flags and KEEPS_IDLE not in flags.extra else ()
    argv = (*command.argv, SAVES, path, *idle)
    return replace(command, argv=argv, env={**command.env, IDENTITY: identity})


def identity_of(plan: Plan, flags: LlamaFlags, caps: Capabilities) -> str:
    """What two engines must have in common for one to take what the other saved. Blocks. Raises: OSError."""
    weights = plan.weights
    paths = [Path(weights.location or "", file.name) for file in weights.files]
    stats = [path.stat() for path in paths if path.exists()]
    build = Path(caps.path).stat()
    values = (
        [caps.version, caps.path, build.st_size, build.st_mtime_ns],
        [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=False)],
        [flags.cache_type_k, flags.cache_type_v, flags.context_tokens, flags.parallel, flags.kv_unified],
        [flags.flash_attention, flags.swa_full, flags.mmproj, flags.draft_model, *flags.extra],
    )
    return f"{_digest(values[0])}.{_digest(values)}"


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


async def open_conversations(app: App, launch: Launch) -> None:
    """Of an engine that answers, and serves from now on. What an earlier one had is given to it."""
    process, plan = launch.process, launch.plan
    if process is None or plan is None or plan.engine != LLAMA_CPP:
        launch.conversations = None
        return
    counts = Counts() if launch.conversations is None else launch.conversations.counts
    identity = process.command.env.get(IDENTITY, "")
    key = f"{KEY}:{identity.partition('.')[0]}:{_model(plan)}"
    keeps = Keeps(
        launch.name,
        process.command,
        identity,
        key,
        slots=max(1, plan.parallel),
        rates=_rates(launch, plan),
        removes=not app.is_service,
    )
    known = await app.store.recall(Useless, key)
    opened = Conversations(app, Copies(app, keeps, counts), saves=bool(identity) and known is None)
    launch.conversations = opened
    if not opened.saves:
        return
    try:
        stored = await app.store.run(app.store.conversations.all)
        own = [copy for copy in stored if copy.launch == launch.name and copy.chain]
        for copy in own:
            if copy.identity != identity:
                await files.remove(app, copy)
    except (StateError, OSError) as error:
        log.warning("conversations not read: launch=%s %s", launch.name, error)
        return
    opened.copies.all = {copy.file: copy for copy in own if copy.identity == identity}


def _model(plan: Plan) -> str:
    is_full = isinstance(plan.flags, LlamaFlags) and plan.flags.swa_full
    return _digest([plan.weights.repo, plan.weights.quant, is_full])


def _rates(launch: Launch, plan: Plan) -> Rates:
    cached = sum(row.kv_cache_bytes for row in plan.memory)
    tokens = plan.pool_tokens or plan.context_tokens * max(1, plan.parallel)
    ready = launch.ready
    return Rates(
        None if ready is None else ready.prefill_tokens_per_s,
        bytes_per_token=cached / tokens if cached and tokens else None,
    )
