"""Where state, models, the settings file and the control socket lie. Light: node-ctl imports it, too."""

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

NAME = "node-daemon"
SYSTEM_SOCKET = Path("/run/node-daemon/node-daemon.sock")
# What systemd tells the service (systemd/node-daemon.service), for who looks at it from outside
SERVICE_ENVIRONMENT = {
    "STATE_DIRECTORY": "/var/lib/node-daemon",
    "RUNTIME_DIRECTORY": "/run/node-daemon",
    "CONFIGURATION_DIRECTORY": "/etc/node-daemon",
}
SYSTEM_CONFIG = Path("/etc/node-daemon/config.toml")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The service's ``StateDirectory=``, else the user's. systemd.exec(5) names the variables."""
    return _granted("STATE_DIRECTORY", environ) or platformdirs.user_state_path(NAME)


def models_dir(state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """A service keeps the weights beside its state; a user's survive a lost state, in the data folder."""
    if _granted("STATE_DIRECTORY", environ) is not None:
        return state / "models"
    return platformdirs.user_data_path(NAME) / "models"


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The cache of this user's other tools. Source: huggingface_hub/constants.py, HF_HUB_CACHE. A service
    has a user of its own, without one."""
    if named := environ.get("HF_HUB_CACHE"):
        return Path(named)
    if home := environ.get("HF_HOME"):
        return Path(home) / "hub"
    if _granted("STATE_DIRECTORY", environ) is not None:
        return None
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "huggingface" / "hub"


def ollama_models(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Ollama's store: docs/faq of Ollama, "Where are models stored". Its service's, where ours is one."""
    if named := environ.get("OLLAMA_MODELS"):
        return Path(named)
    if _granted("STATE_DIRECTORY", environ) is not None:
        return Path("/usr/share/ollama/.ollama/models")
    return Path("~/.ollama/models").expanduser()


def engines_dir(state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Environments that hold an engine each, one folder per engine."""
    if _granted("STATE_DIRECTORY", environ) is not None:
        return state / "engines"
    return platformdirs.user_data_path(NAME) / "engines"


def socket_path(state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a daemon listens unless it is told otherwise."""
    runtime = _granted("RUNTIME_DIRECTORY", environ)
    if runtime is not None:
        return runtime / "node-daemon.sock"
    user_runtime = environ.get("XDG_RUNTIME_DIR")
    return (Path(user_runtime) if user_runtime else state) / "node-daemon.sock"


def config_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The settings file that counts, ``None`` without one. A file named by NODE_DAEMON_CONFIG need not
    exist: that it doesn't is then an error of its reader."""
    told = environ.get("NODE_DAEMON_CONFIG")
    if told:
        return Path(told)
    service = _granted("CONFIGURATION_DIRECTORY", environ)
    if service is not None:
        wanted: tuple[Path, ...] = (service / "config.toml",)
    else:
        wanted = (platformdirs.user_config_path(NAME) / "config.toml", SYSTEM_CONFIG)
    return next((path for path in wanted if path.is_file()), None)


def _granted(variable: str, environ: Mapping[str, str]) -> Path | None:
    """The first folder of a colon-separated list that systemd handed to a service."""
    first = environ.get(variable, "").split(":")[0]
    return Path(first) if first else None
