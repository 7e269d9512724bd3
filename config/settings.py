"""Every setting, typed and flat. ``config/loading.py`` reads them."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from catalog.feed.signed_file import parse_key
from config.listen import Address, parse_address
from domain.download import DownloadPolicy, parse_rate, parse_window
from domain.units import GIB, MIB, parse_size

PREFIX = "NODE_DAEMON_"


def _size(value: object) -> object:
    """``"4 GB"`` in bytes; what is a number already is left to pydantic."""
    return value if not isinstance(value, str) or value.strip().isdecimal() else parse_size(value)


Size = Annotated[int, BeforeValidator(_size)]


def _words(value: object) -> object:
    """A list of the file as the text that a variable has."""
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return " ".join(value) if is_list and isinstance(value, list) else value


Words = Annotated[str | None, BeforeValidator(_words)]


class Settings(BaseModel):
    """docs/settings.md describes each field; a test compares the two."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dir: Path
    models_dir: Path
    engines_dir: Path
    socket: Path
    listen: str = "127.0.0.1:8411"
    normalise_prompts: bool = True
    conversation_cache_gb: float = Field(default=10.0, ge=0)
    sysroot: Path = Path("/")
    catalogue: Path | None = None
    catalogue_url: str | None = None
    catalogue_key: str | None = None
    llama_server: Path | None = None
    vllm: Path | None = None
    engine_sandbox: bool = True
    engine_keys: bool = True
    engine_folders: str | None = None
    engine_environment: str | None = None
    offline: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    host_reserve_bytes: Size | None = Field(default=None, ge=0)
    gpu_margin_bytes: Size | None = Field(default=None, ge=0)
    disk_low_bytes: Size = Field(default=5 * GIB, ge=0)
    port_first: int = Field(default=18100, ge=1024, le=65535)
    port_last: int = Field(default=18199, ge=1024, le=65535)
    ready_timeout_s: float = Field(default=900, gt=0)
    restart_delay_s: float = Field(default=1, gt=0)
    restart_delay_max_s: float = Field(default=300, gt=0)
    restart_stable_s: float = Field(default=60, ge=0)
    restart_loop: int = Field(default=5, ge=1)
    on_demand_idle_s: float = Field(default=1800, gt=0)
    launch_on_request: Words = None
    health_interval_s: float = Field(default=10, gt=0)
    health_stall_s: float = Field(default=10, gt=0)
    health_canary_s: float = Field(default=30, ge=0)
    ladder_min_context: int = Field(default=4096, ge=512)
    ladder_fetch: bool = False
    probe_interval_s: float = Field(default=60, gt=0)
    sample_interval_s: float = Field(default=5, gt=0)
    telemetry: bool = True
    memory_guard: bool = True
    heat_guard: bool = True
    heat_soft_c: float | None = Field(default=None, ge=30, le=120)
    heat_hard_c: float | None = Field(default=None, ge=30, le=120)
    notify_file: Path
    hub_token: SecretStr | None = None
    hub_cache: Path | None = None
    ollama_models: Path | None = None
    download_limit: str | None = None
    download_window: str | None = None
    download_files: int = Field(default=4, ge=1, le=32)
    disk_reserve_bytes: Size = Field(default=GIB, ge=0)
    log_max_bytes: Size = Field(default=10 * MIB, ge=64 * 1024)

    @property
    def listen_address(self) -> Address | None:
        """``None``: the gateway is off."""
        return parse_address(self.listen)

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

    @property
    def engine_folder_paths(self) -> tuple[Path, ...]:
        return tuple(map(Path, filter(None, (self.engine_folders or "").split(":"))))

    @property
    def engine_variables(self) -> tuple[str, ...]:
        return tuple((self.engine_environment or "").split())

    @property
    def request_models(self) -> tuple[str, ...]:
        """Models that requests may launch."""
        return tuple(dict.fromkeys((self.launch_on_request or "").split()))

    @field_validator("engine_folders")
    @classmethod
    def _folders(cls, text: str | None) -> str | None:
        if relative := [path for path in (text or "").split(":") if path and not path.startswith(("/", "~"))]:
            raise ValueError(f"{relative[0]} is not an absolute path")
        return text and ":".join(str(Path(path).expanduser()) for path in text.split(":") if path)

    @field_validator("listen")
    @classmethod
    def _address(cls, text: str) -> str:
        parse_address(text)
        return text

    @field_validator("catalogue_url")
    @classmethod
    def _url(cls, text: str | None) -> str | None:
        parts = urlsplit(text or "http://none")
        _ = parts.port  # is checked only when it is read
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
            raise ValueError("expected https://HOST/PATH, without a user or password")
        return text

    @field_validator("catalogue_key")
    @classmethod
    def _key(cls, text: str | None) -> str | None:
        if text is not None:
            parse_key(text)
        return text

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
        "notify_file",
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
