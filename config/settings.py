"""Every setting, typed and flat. Read once, in ``main``; the command line overrides the environment, and that
the settings file."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config import paths
from domain.download import DownloadPolicy, parse_rate, parse_window
from domain.errors import ConfigError
from domain.suggestions import near
from domain.units import GIB, MIB

PREFIX = "NODE_DAEMON_"
NOT_SETTINGS = frozenset({"NODE_DAEMON_CONFIG"})  # names the settings file, so it can't be in one


class Settings(BaseSettings):
    """docs/settings.md describes each field; a test compares the two."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    state_dir: Path
    models_dir: Path
    engines_dir: Path
    socket: Path
    sysroot: Path = Path("/")
    catalogue: Path | None = None
    llama_server: Path | None = None
    vllm: Path | None = None
    offline: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    host_reserve_bytes: int | None = Field(default=None, ge=0)
    gpu_margin_bytes: int | None = Field(default=None, ge=0)
    disk_low_bytes: int = Field(default=5 * GIB, ge=0)
    port_first: int = Field(default=18100, ge=1024, le=65535)
    port_last: int = Field(default=18199, ge=1024, le=65535)
    ready_timeout_s: float = Field(default=900, gt=0)
    restart_delay_s: float = Field(default=1, gt=0)
    restart_delay_max_s: float = Field(default=300, gt=0)
    restart_stable_s: float = Field(default=60, ge=0)
    restart_loop: int = Field(default=5, ge=1)
    probe_interval_s: float = Field(default=60, gt=0)
    hub_token: SecretStr | None = None
    hub_cache: Path | None = None
    ollama_models: Path | None = None
    download_limit: str | None = None
    download_window: str | None = None
    download_files: int = Field(default=4, ge=1, le=32)
    disk_reserve_bytes: int = Field(default=GIB, ge=0)
    log_max_bytes: int = Field(default=10 * MIB, ge=64 * 1024)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments of ``load``: it reads the sources itself, so that an error can name the source
        of a wrong value."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def download_policy(self) -> DownloadPolicy:
        """For downloads without options of their own."""
        return DownloadPolicy(
            limit_bytes_per_s=None if self.download_limit is None else parse_rate(self.download_limit),
            window=None if self.download_window is None else parse_window(self.download_window),
            reserve_bytes=self.disk_reserve_bytes,
            side_by_side=self.download_files,
        )

    @property
    def hub_caches(self) -> tuple[Path, ...]:
        """Caches of other tools with the hub's layout, other than ``models_dir``."""
        return () if self.hub_cache in (None, self.models_dir) else (self.hub_cache,)

    @property
    def places(self) -> tuple[Path, ...]:
        """Folders of other tools that may hold weights: searched before a download."""
        return (*self.hub_caches, *((self.ollama_models,) if self.ollama_models else ()))

    @field_validator("download_limit")
    @classmethod
    def _rate(cls, text: str | None) -> str | None:
        if text is not None:
            parse_rate(text)
        return text

    @field_validator("download_window")
    @classmethod
    def _window(cls, text: str | None) -> str | None:
        if text is not None:
            parse_window(text)
        return text

    @field_validator(
        "state_dir",
        "models_dir",
        "engines_dir",
        "socket",
        "catalogue",
        "llama_server",
        "vllm",
        "hub_cache",
        "ollama_models",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @model_validator(mode="after")
    def _ports_in_order(self) -> "Settings":
        if self.port_last < self.port_first:
            raise ValueError(f"port_last {self.port_last} is below port_first {self.port_first}")
        return self


def load(config_file: Path | None = None, **given: Any) -> Settings:
    """The settings of this process. ``given`` are command-line values; ``None``: not on the command line.

    Raises: ConfigError with the file or variable, the key, and the nearest key that exists.
    """
    path = config_file or paths.config_file()
    layers = {
        str(path): _from_file(path) if path else {},
        "environment": _from_environment(),
        "command line": {key: value for key, value in given.items() if value is not None},
    }
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in layers.items():
        merged |= values
        origins |= dict.fromkeys(values, origin)
    try:
        return Settings(**(_places(merged) | merged))
    except ValidationError as error:
        raise _blamed(error, origins) from error


def _places(merged: Mapping[str, Any]) -> dict[str, Path | None]:
    state = Path(merged.get("state_dir") or paths.state_dir())
    return {
        "state_dir": state,
        "models_dir": paths.models_dir(state),
        "engines_dir": paths.engines_dir(state),
        "socket": paths.socket_path(state),
        "hub_cache": paths.hub_cache(),
        "ollama_models": paths.ollama_models(),
    }


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file", hint="it is named by --config or NODE_DAEMON_CONFIG")
    try:
        values = TomlConfigSettingsSource(Settings, toml_file=path)()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="node-daemon must be able to read it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", hint="the settings file is TOML: key = value") from error
    for key in values:
        _check_known(key, str(path))
    return values


def _from_environment() -> dict[str, Any]:
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in NOT_SETTINGS:
            _check_known(variable, "environment", prefix=PREFIX)
    return EnvSettingsSource(Settings)()


def _check_known(name: str, origin: str, *, prefix: str = "") -> None:
    """Raises: ConfigError for what is no setting, with those that are near."""
    key = name.removeprefix(prefix)
    names = [field.upper() if prefix else field for field in Settings.model_fields]
    if key in names:
        return
    found = ", ".join(f"{prefix}{one}" for one in near(key, names))
    hint = f"did you mean {found}?" if found else "docs/settings.md lists all settings"
    raise ConfigError(f"{origin}: unknown setting {name!r}", hint=hint)


def _blamed(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    """The first error, with the key and the file or variable that it is from."""
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    origin = origins[key] if key else " and ".join(dict.fromkeys(origins.values())) or "settings"
    message = first["msg"].removeprefix("Value error, ")
    said = f" = {first['input']!r}" if key else ""
    return ConfigError(f"{origin}: {key}{said}: {message}" if key else f"{origin}: {message}")
