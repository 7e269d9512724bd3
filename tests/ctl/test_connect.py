"""node-ctl connect: what is told to clients, and what happens to the files that they have."""

import json
import stat
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ctl.connect.clients import CLIENTS
from ctl.connect.formats import Format, merge
from ctl.connect.setup import ServedModel, Service
from domain.errors import UsageError
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon

SMOL = {"id": "smol", "context_length": 65536, "architecture": {"output_modalities": ["text"]}}
VECTORS = {"id": "vectors", "context_length": 512, "architecture": {"output_modalities": ["embeddings"]}}


class Lister(ThreadingHTTPServer):
    """The gateway's list of models, and nothing else."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows = [SMOL, VECTORS]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Lister

    def do_GET(self) -> None:
        content = json.dumps({"object": "list", "data": self.server.rows}).encode()
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def gateway(daemon: FakeDaemon) -> Iterator[Lister]:
    with Lister() as lister:
        thread = threading.Thread(target=lister.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        daemon.on("GET /v1/status", {"gateway": lister.base, "problems": []})
        yield lister
        lister.shutdown()
        thread.join()


@pytest.fixture
def files(ctl: Ctl) -> Path:
    """The home of an owner who has set no folder of a client elsewhere."""
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"):
        ctl.env[variable] = ""
    return ctl.home


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_is_told_the_address_and_a_model_that_is_served(
    ctl: Ctl, gateway: Lister, client: str
) -> None:
    shown = ctl("connect", client)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert gateway.base in shown.stdout
    assert "smol" in shown.stdout or client == "open-webui"  # which lists models itself
    assert "vectors" not in shown.stdout
    told = json.loads(ctl("connect", client, "--json").stdout)
    assert (told["client"], told["url"], told["model"]) == (client, gateway.base, "smol")
    assert (told["context_tokens"], told["output_tokens"], told["written"]) == (65536, 16384, None)


def test_codex_gets_settings_between_the_owners_own(ctl: Ctl, gateway: Lister, files: Path) -> None:
    path = files / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text('# mine\nmodel = "o9" # fast\n\n[mcp_servers.x] # keep\ncommand = "y"\n')
    path.chmod(0o600)
    done = ctl("connect", "codex", "--write")
    assert "replaced: model" in done.stdout
    text = path.read_text()
    assert text.startswith("# mine\n")
    assert "[mcp_servers.x] # keep" in text
    told = tomllib.loads(text)
    assert (told["model"], told["model_context_window"], told["model_auto_compact_token_limit"]) == (
        "smol",
        65536,
        52428,
    )
    assert told["model_providers"]["node-daemon"]["base_url"] == f"{gateway.base}/v1"
    [backup] = path.parent.glob("config.toml.*.bak")
    assert 'model = "o9"' in backup.read_text()
    assert {stat.S_IMODE(one.stat().st_mode) for one in (path, backup)} == {0o600}
    again = ctl("connect", "codex", "--write")
    assert "has these settings already" in again.stdout
    assert len(list(path.parent.iterdir())) == 2


def test_a_file_that_gets_a_key_is_its_owners_alone(ctl: Ctl, gateway: Lister, files: Path) -> None:
    path = files / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text('model = "o9"\n')
    path.chmod(0o644)
    ctl("connect", "codex", "--write")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "as it was"
    assert ctl("connect", "codex", "--url", gateway.base, "--key", "nd-a-b", "--write").returncode == 0
    assert "nd-a-b" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.usefixtures("gateway")
def test_claude_code_keeps_what_else_is_set_and_a_link_stays_one(ctl: Ctl, files: Path) -> None:
    dotfiles, path = files / "dotfiles.json", files / ".claude" / "settings.json"
    path.parent.mkdir()
    dotfiles.write_text('{\n    "permissions": {"allow": ["Bash"]},\n    "env": {"A": "b"}\n}\n')
    path.symlink_to(dotfiles)
    assert ctl("connect", "claude-code", "--write").returncode == 0
    told = json.loads(dotfiles.read_text())
    assert path.is_symlink()
    assert (told["permissions"], told["env"]["A"]) == ({"allow": ["Bash"]}, "b")
    assert told["env"]["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "65536"
    assert told["env"]["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "smol"
    assert '\n    "env"' in dotfiles.read_text()


@pytest.mark.usefixtures("gateway")
def test_continue_gets_a_model_beside_the_owners_own(ctl: Ctl, files: Path) -> None:
    path = files / ".continue" / "config.yaml"
    path.parent.mkdir()
    path.write_text("name: Mine # my own\nmodels:\n  - name: a\n    provider: openai\n")
    for _ in range(2):
        assert ctl("connect", "continue", "--write").returncode == 0
    assert "# my own" in path.read_text()
    told = YAML(typ="safe").load(path.read_text())
    assert [row["name"] for row in told["models"]] == ["a", "smol (node-daemon)"]
    assert told["models"][1]["defaultCompletionOptions"] == {"contextLength": 65536, "maxTokens": 16384}


@pytest.mark.usefixtures("gateway")
def test_new_files_are_whole_and_their_owners_alone(ctl: Ctl, files: Path) -> None:
    assert ctl("connect", "aider", "--write").returncode == 0
    assert ctl("connect", "opencode", "--write").returncode == 0
    limits = json.loads((files / ".aider.model.metadata.json").read_text())["openai/smol"]
    assert (limits["max_input_tokens"], limits["max_output_tokens"]) == (65536, 16384)
    assert YAML(typ="safe").load((files / ".aider.conf.yml").read_text())["model"] == "openai/smol"
    path = files / ".config" / "opencode" / "opencode.json"
    told = json.loads(path.read_text())
    assert told["provider"]["node-daemon"]["models"]["smol"]["limit"] == {"context": 65536, "output": 16384}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    "text",
    ['{"a": 1, // mine\n}', '["a"]', '{"provider": ["x"]}', '{"provider": {"node-daemon": 3}}', "\x00"],
)
def test_a_file_that_would_lose_something_is_left_as_it_is(ctl: Ctl, files: Path, text: str) -> None:
    path = files / ".config" / "opencode" / "opencode.jsonc"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    refused = ctl("connect", "opencode", "--write")
    assert refused.returncode == 2
    assert f"{path} is not changed" in refused.stderr
    assert [one.read_text() for one in path.parent.iterdir()] == [text]


@pytest.mark.usefixtures("files", "gateway")
def test_wrong_names_get_the_near_ones(ctl: Ctl) -> None:
    assert "claude-code" in ctl("connect", "claude").stderr
    assert "there are claude-code, codex, opencode" in ctl("connect", "cursor").stderr
    wrong = ctl("connect", "codex", "--model", "smoll")
    assert (wrong.returncode != 0, "did you mean smol?" in wrong.stderr) == (True, True)
    assert ctl("connect", "home-assistant", "--write").returncode == 2


@pytest.mark.usefixtures("files")
def test_several_models_ask_for_one_and_agents_can_use_all(ctl: Ctl, gateway: Lister) -> None:
    gateway.rows = [SMOL, {**SMOL, "id": "large", "context_length": None}]
    refused = ctl("connect", "opencode")
    assert "smol, large" in refused.stderr
    assert "--model" in refused.stderr
    told = json.loads(ctl("connect", "opencode", "--model", "large", "--json").stdout)
    settings = told["files"][0]["settings"]
    assert settings["model"] == "node-daemon/large"
    assert settings["provider"]["node-daemon"]["models"]["large"] == {"name": "large"}  # limits not known
    assert "smol" in settings["provider"]["node-daemon"]["models"]


@pytest.mark.usefixtures("files")
def test_nothing_served_says_what_to_launch(ctl: Ctl, gateway: Lister) -> None:
    gateway.rows = [VECTORS]
    refused = ctl("connect", "claude-code")
    assert refused.returncode != 0
    assert "node-ctl launch" in refused.stderr


@pytest.mark.usefixtures("files")
def test_a_gateway_that_does_not_listen_says_why(ctl: Ctl, daemon: FakeDaemon) -> None:
    problem = {"source": "gateway", "what": "127.0.0.1:8411 can't be used", "hint": ""}
    daemon.on("GET /v1/status", {"gateway": None, "problems": [problem]})
    assert "127.0.0.1:8411 can't be used" in ctl("connect", "codex").stderr
    daemon.on("GET /v1/status", {"gateway": "http://127.0.0.1:1", "problems": []})
    assert "did not list its models" in ctl("connect", "codex").stderr


def test_an_agent_is_told_of_a_context_that_is_too_small(ctl: Ctl, gateway: Lister, files: Path) -> None:
    gateway.rows = [{**SMOL, "context_length": 8192}]
    assert "--context 64k" in ctl("connect", "codex").stdout
    assert "--context" not in ctl("connect", "aider").stdout
    assert not (files / ".codex").exists()


@pytest.mark.usefixtures("files", "gateway")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_on_another_machine_is_told_its_address_and_key(ctl: Ctl, client: str) -> None:
    shown = ctl("connect", client, "--url", "http://192.168.1.20:8411/v1", "--key", "nd-secret")
    assert shown.returncode == 0
    assert "http://192.168.1.20:8411" in shown.stdout
    assert "nd-secret" in shown.stdout
    assert "127.0.0.1" not in shown.stdout
    assert ctl("connect", client, "--url", "192.168.1.20").returncode == 2


@pytest.mark.usefixtures("files", "gateway")
def test_a_key_need_not_be_in_the_command_line(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("nd-secret\n")
    shown = ctl("connect", "openai", "--key-file", str(tmp_path / "key"))
    assert "nd-secret" in shown.stdout
    ctl.env["NODE_CTL_KEY"] = "nd-other"
    assert "nd-other" in ctl("connect", "openai").stdout
    (tmp_path / "key").write_text("\n")
    empty = ctl("connect", "openai", "--key-file", str(tmp_path / "key"))
    assert (empty.returncode, "keys add NAME" in empty.stderr) == (2, True)
    assert ctl("connect", "openai", "--key-file", str(tmp_path / "none")).returncode == 2


def test_a_window_that_claude_code_would_not_take_is_not_told(tmp_path: Path) -> None:
    large = ServedModel("large", 262_144)
    [file] = CLIENTS["claude-code"].setup(Service("http://x", (large,), large, tmp_path)).files
    assert "CLAUDE_CODE_AUTO_COMPACT_WINDOW" not in file.settings["env"]
    assert file.settings["env"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "32768"


@pytest.mark.parametrize("kind", Format)
def test_merging_twice_changes_nothing(kind: Format) -> None:
    settings = {"a": {"b": 1}, "c": "d", "e": [{"name": "f", "g": 1}]}
    once = merge(kind, "", settings)
    assert merge(kind, once.text, settings) == once
    assert merge(kind, once.text, {"c": "x"}).replaced == ("c",)


@pytest.mark.parametrize(("kind", "text"), [(Format.TOML, "a = = 1"), (Format.YAML, "a: [1")])
def test_a_file_that_is_broken_is_not_mended_by_guessing(kind: Format, text: str) -> None:
    with pytest.raises(UsageError):
        merge(kind, text, {"a": 1})
