"""Coding agents: Claude Code, Codex, opencode, Continue, aider. Pure.

Each reads the context and the longest answer from its own settings: none asks the server for them.
"""

from typing import Any

from ctl.connect.formats import Format
from ctl.connect.setup import Client, ServedModel, Service, SettingsFile, Setup, without_unknown

# Claude Code takes 200,000 tokens as the window of a model that it does not know; a smaller one is taken
# from this setting, a larger one is not (anthropics/claude-code#57964).
CLAUDE_CODE_WINDOW_TOKENS = 200_000
COMPACT_SHARE = 0.8  # of the context: what is asked and answered while a conversation is compacted


def claude_code(service: Service) -> Setup:
    model = service.model
    window = model.context_tokens
    below = window if window is not None and window < CLAUDE_CODE_WINDOW_TOKENS else None
    variables = {
        "ANTHROPIC_BASE_URL": service.base,
        "ANTHROPIC_AUTH_TOKEN": service.key,
        "ANTHROPIC_MODEL": model.name,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": model.name,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": model.name,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model.name,
        "CLAUDE_CODE_SUBAGENT_MODEL": model.name,
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": below,
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": model.output_tokens,
        "CLAUDE_CODE_ATTRIBUTION_HEADER": 0,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": 1,
    }
    env = {name: str(value) for name, value in variables.items() if value is not None}
    path = service.folder("CLAUDE_CONFIG_DIR", ".claude") / "settings.json"
    return Setup(
        files=(SettingsFile(path, Format.JSON, {"env": env}),),
        notes=("without the attribution header the prompt begins alike each time, and stays cached",),
    )


def codex(service: Service) -> Setup:
    model = service.model
    window = model.context_tokens
    provider: dict[str, Any] = {
        "name": "node-daemon",
        "base_url": service.openai_base,
        "wire_api": "responses",
    }
    if service.given_key:
        provider["http_headers"] = {"Authorization": f"Bearer {service.key}"}
    settings = {
        "model": model.name,
        "model_provider": "node-daemon",
        "model_context_window": window,
        "model_auto_compact_token_limit": None if window is None else int(window * COMPACT_SHARE),
        "model_providers": {"node-daemon": provider},
    }
    path = service.folder("CODEX_HOME", ".codex") / "config.toml"
    return Setup(files=(SettingsFile(path, Format.TOML, without_unknown(settings)),))


def opencode(service: Service) -> Setup:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "node-daemon",
        "options": without_unknown({"baseURL": service.openai_base, "apiKey": service.given_key}),
        "models": {model.name: _opencode_model(model) for model in service.models},
    }
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"node-daemon": provider},
        "model": f"node-daemon/{service.model.name}",
        "small_model": f"node-daemon/{service.model.name}",
    }
    folder = service.folder("XDG_CONFIG_HOME", ".config") / "opencode"
    commented = folder / "opencode.jsonc"
    path = commented if commented.exists() else folder / "opencode.json"
    return Setup(files=(SettingsFile(path, Format.JSON, settings),))


def _opencode_model(model: ServedModel) -> dict[str, Any]:
    limit = without_unknown({"context": model.context_tokens, "output": model.output_tokens})
    return {"name": model.name, "limit": limit} if limit else {"name": model.name}


def continue_dev(service: Service) -> Setup:
    rows = [
        {
            "name": f"{model.name} (node-daemon)",
            "provider": "openai",
            "model": model.name,
            "apiBase": service.openai_base,
            "apiKey": service.key,
            "roles": ["chat", "edit", "apply"],
            "defaultCompletionOptions": without_unknown(
                {"contextLength": model.context_tokens, "maxTokens": model.output_tokens}
            ),
        }
        for model in sorted(service.models, key=lambda model: model != service.model)
    ]
    path = service.home / ".continue" / "config.yaml"
    settings: dict[str, Any] = {"models": rows}
    if not path.exists():
        settings = {"name": "Local models", "version": "1.0.0", "schema": "v1", **settings}
    return Setup(files=(SettingsFile(path, Format.YAML, settings),))


def aider(service: Service) -> Setup:
    model = service.model
    name = f"openai/{model.name}"
    settings = {"model": name, "openai-api-base": service.openai_base, "openai-api-key": service.key}
    limits = {
        "max_tokens": model.output_tokens,
        "max_input_tokens": model.context_tokens,
        "max_output_tokens": model.output_tokens,
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
        "litellm_provider": "openai",
        "mode": "chat",
    }
    return Setup(
        files=(
            SettingsFile(service.home / ".aider.conf.yml", Format.YAML, settings),
            SettingsFile(
                service.home / ".aider.model.metadata.json", Format.JSON, {name: without_unknown(limits)}
            ),
        )
    )


AGENTS = (
    Client("claude-code", "Claude Code", claude_code, "code.claude.com/docs/en/env-vars", is_agent=True),
    Client("codex", "Codex", codex, "developers.openai.com/codex/config-reference", is_agent=True),
    Client("opencode", "opencode", opencode, "opencode.ai/docs/providers", is_agent=True),
    Client("continue", "Continue", continue_dev, "docs.continue.dev/reference"),
    Client("aider", "aider", aider, "aider.chat/docs/llms/openai-compat.html"),
)
