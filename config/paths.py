"""Paths of state, models, the settings file and the control socket. Imports little: node-ctl uses it, too."""

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

NAME = "node-daemon"
SYSTEM_SOCKET = Path("/run/node-daemon/node-daemon.sock")
# The service's environment by systemd (systemd/node-daemon.service), for programs outside of it
SERVICE_ENVIRONMENT = {
    "STATE_DIRECTORY": "/var/lib/node-daemon",
    "RUNTIME_DIRECTORY": "/run/node-daemon",
    "CONFIGURATION_DIRECTORY": "/etc/node-daemon",
}
SYSTEM_CONFIG = Path("/etc/node-daemon/config.toml")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The service's ``StateDirectory=``, else the user's. systemd.exec(5) names the variables."""
    return _systemd_folder("STATE_DIRECTORY", environ) or platformdirs.user_state_path(NAME)


def models_dir(state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """A service keeps the weights in its state folder, a user in the data folder, apart from the state."""
    if _systemd_folder("STATE_DIRECTORY", environ) is not None:
        return state / "models"
    return platformdirs.user_data_path(NAME) / "models"


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The cache of the user's other tools. The service's own user has none. Source:
    huggingface_hub/constants.py, HF_HUB_CACHE."""
    if cache := environ.get("HF_HUB_CACHE"):
        return Path(cache)
    if home := environ.get("HF_HOME"):
        return Path(home) / "hub"
    if _systemd_folder("STATE_DIRECTORY", environ) is not None:
        return None
    user_cache = environ.get("XDG_CACHE_HOME")
    return (Path(user_cache) if user_cache else Path("~/.cache").expanduser()) / "huggingface" / "hub"


def ollama_models(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Ollama's store; for a service, that of Ollama's service. Source: Ollama's docs/faq, "Where are models
    stored"."""
    if folder := environ.get("OLLAMA_MODELS"):
        return Path(folder)
    if _systemd_folder("STATE_DIRECTORY", environ) is not None:
        return Path("/usr/share/ollama/.ollama/models")
    return Path("~/.ollama/models").expanduser()


def engines_dir(state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Python environments of engines, one folder per engine."""
    if _systemd_folder("STATE_DIRECTORY", environ) is not None:
        return state / "engines"
    return platformdirs.user_data_path(NAME) / "engines"


def socket_path(state: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The default control socket."""
    runtime = _systemd_folder("RUNTIME_DIRECTORY", environ)
    if runtime is not None:
        return runtime / "node-daemon.sock"
    user_runtime = environ.get("XDG_RUNTIME_DIR")
    return (Path(user_runtime) if user_runtime else state) / "node-daemon.sock"


def config_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The settings file to read, if any. The one that NODE_DAEMON_CONFIG names may be missing: its reader
    reports that."""
    configured = environ.get("NODE_DAEMON_CONFIG")
    if configured:
        return Path(configured)
    return next((path for path in config_places(environ) if path.is_file()), None)


def config_places(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a settings file is looked for unless NODE_DAEMON_CONFIG names it; the first there counts."""
    service = _systemd_folder("CONFIGURATION_DIRECTORY", environ)
    if service is not None:
        return (service / "config.toml",)
    return (platformdirs.user_config_path(NAME) / "config.toml", SYSTEM_CONFIG)


def _systemd_folder(variable: str, environ: Mapping[str, str]) -> Path | None:
    """The first folder of a colon-separated list that systemd passes to a service."""
    first = environ.get(variable, "").split(":")[0]
    return Path(first) if first else None
