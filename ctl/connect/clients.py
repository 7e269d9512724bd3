"""Every client that ``node-ctl connect`` knows. Pure."""

from ctl.connect.agents import AGENTS
from ctl.connect.setup import Client, Service, Setup

# What Home Assistant asks for unless it is told otherwise (homeassistant/components/ollama/const.py)
HOME_ASSISTANT_CONTEXT_TOKENS = 8192
REACH = (
    "the address is this machine's own: a container reaches it with --network host; "
    "for other machines, node-ctl lan on, then this with --url and --key"
)


def open_webui(service: Service) -> Setup:
    return Setup(
        variables={
            "OPENAI_API_BASE_URL": service.openai_base,
            "OPENAI_API_KEY": service.key,
            "ENABLE_OLLAMA_API": "false",
        },
        steps=(
            "where it runs already: Admin Panel, Settings, Connections, add under OpenAI API",
            f"URL {service.openai_base}, key {service.key}; all models that are served are listed",
        ),
        notes=(REACH,) if service.is_local else (),
    )


def home_assistant(service: Service) -> Setup:
    served = service.model.context_tokens
    window = HOME_ASSISTANT_CONTEXT_TOKENS if served is None else served
    return Setup(
        steps=(
            "Settings, Devices & services, Add integration, Ollama",
            f"URL {service.base}" + (f", API key {service.key}" if service.given_key else ""),
            f"add a conversation agent with the model {service.model.name}",
            f"in its options set the context window size to {window}; a larger one is refused",
        ),
        notes=(REACH,) if service.is_local else (),
    )


def openai(service: Service) -> Setup:
    return Setup(
        variables={"OPENAI_BASE_URL": service.openai_base, "OPENAI_API_KEY": service.key},
        steps=(f"ask for the model {service.model.name}",),
    )


def ollama(service: Service) -> Setup:
    return Setup(
        variables={"OLLAMA_HOST": service.base} | _ollama_key(service),
        steps=(f"ask for the model {service.model.name}",),
    )


def _ollama_key(service: Service) -> dict[str, str]:
    """Ollama's own clients send it as a bearer."""
    return {"OLLAMA_API_KEY": service.key} if service.given_key else {}


CLIENTS = {
    client.name: client
    for client in (
        *AGENTS,
        Client("open-webui", "Open WebUI", open_webui, "docs.openwebui.com/reference/env-configuration"),
        Client(
            "home-assistant",
            "Home Assistant",
            home_assistant,
            "www.home-assistant.io/integrations/ollama",
        ),
        Client("openai", "clients of OpenAI's API", openai, "github.com/openai/openai-python"),
        Client("ollama", "clients of Ollama's API", ollama, "github.com/ollama/ollama-python"),
    )
}
