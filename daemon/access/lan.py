"""Whether the gateway is open to the local network: what was switched is stored, and outlives the daemon."""

import asyncio
from dataclasses import dataclass

from config.listen import Address
from daemon.access import keys, network
from daemon.access.keys import AddedKey
from daemon.app import App
from domain.errors import NodeError, UsageError
from domain.events import EventKind

SWITCH = "lan"
SETTLED_WITHIN_S = 10.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the owner asked for, with a key


@dataclass(frozen=True, slots=True)
class LanState:
    """``urls`` are those of the gateway on this machine's addresses. ``added`` is the key that was made
    because there was none; it can't be shown again."""

    is_on: bool
    urls: tuple[str, ...]
    keys: tuple[str, ...]
    added: AddedKey | None = None


async def read_switch(app: App) -> None:
    """At the start of the daemon."""
    app.access.lan = await app.store.run(app.store.keys.is_on, SWITCH)


def wanted_address(app: App) -> Address | None:
    """Where the gateway is to listen; ``None`` where it is off."""
    address = app.settings.listen_address
    if address is None or not app.access.lan or not address.is_loopback:
        return address
    return Address(EVERYWHERE, address.port)


async def open_lan(app: App, key_name: str) -> LanState:
    """With a first key, if there is none. Raises: NodeError where it can't listen; then it is as before."""
    if app.settings.listen_address is None:
        raise UsageError("the gateway is off", hint="remove listen = off from the settings")
    added = None if app.access.keys else await keys.add(app, key_name)
    await _switch(app, on=True)
    if (problem := await _settled(app)) is not None:
        await _switch(app, on=False)
        if added is not None:
            await keys.revoke(app, added.name)  # nobody has seen it, and nobody can any more
        raise NodeError(f"the gateway could not be opened to the network: {problem}")
    return lan_state(app, added)


async def close_lan(app: App) -> LanState:
    """Keys are kept. Raises: UsageError where the settings themselves name such an address."""
    address = app.settings.listen_address
    if address is not None and not address.is_loopback:
        raise UsageError(f"the settings have listen = {address}", hint="set it to 127.0.0.1:8411")
    await _switch(app, on=False)
    await _settled(app)
    return lan_state(app)


def lan_state(app: App, added: AddedKey | None = None) -> LanState:
    address = app.gateway.bound
    is_on = address is not None and not address.is_loopback
    hosts = () if address is None or not is_on else _hosts(address)
    port = 0 if address is None else address.port
    urls = tuple(f"http://{Address(host, port)}" for host in hosts)
    return LanState(is_on, urls, tuple(key.name for key in app.access.keys.values()), added)


def _hosts(address: Address) -> tuple[str, ...]:
    if not address.is_everywhere:
        return (address.host,)
    own = network.own_address()
    return () if own is None else (own,)


async def _switch(app: App, *, on: bool) -> None:
    if app.access.lan != on:
        await app.store.run(app.store.keys.switch, SWITCH, on=on)
        app.access.lan = on
        await app.events.append(
            EventKind.LAN_ON if on else EventKind.LAN_OFF, f"the gateway is {_where(on=on)}"
        )
    app.access.changed.notify_all()


def _where(*, on: bool) -> str:
    return "open to the local network, for those with a key" if on else "on this machine alone"


async def _settled(app: App) -> str | None:
    """Once the gateway listens where it should: ``None``, else why it does not."""
    wanted = wanted_address(app)
    try:
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while app.gateway.problem is None and not _is_at(app.gateway.bound, wanted):
                await app.gateway.changed.wait()
    except TimeoutError:
        return f"not after {SETTLED_WITHIN_S:g} s"
    return app.gateway.problem


def _is_at(bound: Address | None, wanted: Address | None) -> bool:
    """Port 0 of the settings is any port."""
    if bound is None or wanted is None:
        return bound is wanted
    return bound.host == wanted.host and wanted.port in (0, bound.port)
