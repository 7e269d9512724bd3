"""Ollama's ``keep_alive``: how long a model that is on demand stays loaded after a request."""

from daemon.gateway.errors import GatewayError, Reason
from daemon.launches.launch import Launch
from domain.launches.serving import Policy


def keep(launch: Launch, keep_s: float | None) -> None:
    """Until it stops, which is soon for 0, and never by itself for ``inf``. A model that is always served is
    its owner's to stop: most clients send a time with every request, which is no reason to refuse one."""
    if keep_s is not None and launch.serving.policy is Policy.ON_DEMAND:
        launch.use.keep_s = keep_s


def unload(launch: Launch) -> None:
    """Nothing is asked but that. It stops once nobody uses it. Raises: GatewayError."""
    if launch.serving.policy is not Policy.ON_DEMAND:
        message = f"{launch.name} is served until its owner stops it: node-ctl stop {launch.name}"
        raise GatewayError(Reason.NOT_SUPPORTED, message)
    if launch.serving.pinned:
        message = f"{launch.name} is pinned: node-ctl launch {launch.name} --no-pin lets it stop"
        raise GatewayError(Reason.NOT_SUPPORTED, message)
    keep(launch, 0.0)
