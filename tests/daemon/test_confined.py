"""A real engine of a real daemon: no secret of its owner reaches it, and it gives the daemon no orders."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.process import procfs
from launchers.sandbox.support import read_support
from tests.daemon.test_child import Child, answer

SECRETS = {
    "HF_TOKEN": "secret-of-the-hub",
    "NODE_DAEMON_HUB_TOKEN": "secret-of-the-settings",
    "AWS_SECRET_ACCESS_KEY": "secret-of-a-cloud",
    "HTTPS_PROXY": "http://ada:secret-of-a-proxy@127.0.0.1:9",
    "NOTES": "secret-whose-name-tells-nothing",
}
CONNECT = """
import resource, socket, sys
if sys.argv[2] == "engine":
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    try:
        client.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        print(client.recv(1000).decode())
    except ConnectionError:
        pass
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(tmp_path, **SECRETS)
    yield child.up()
    child.end()


@pytest.mark.engine
def test_a_real_engine_knows_no_secret_and_serves(child: Child, smollm2: Path, tmp_path: Path) -> None:
    child.post("/v1/launches", model=str(smollm2), name="tiny", context_tokens=1024, threads=1)
    assert child.last_step("tiny")["step"] == "ready"
    row = child.row("tiny")
    assert "Paris" in answer(row)
    processes = procfs.members(row["pid"])
    assert row["pid"] in processes
    for pid in processes:
        told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"secret" not in told
        names = {entry.partition(b"=")[0] for entry in procfs.environment(pid) if entry}
        assert {name for name in names if name.startswith(b"NODE_DAEMON")} == {
            b"NODE_DAEMON_ENGINE_OF",
            b"NODE_DAEMON_CONVERSATIONS",  # by what a later daemon tells whether they fit
        }
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == ("2" if read_support().seccomp else "0")
        assert procfs.is_engine(pid)
    assert "secret" not in (tmp_path / "state/logs/tiny.log").read_text()
    own = tmp_path / "state/scratch/tiny/home"
    assert f"HOME={own}".encode() in procfs.environment(row["pid"])
    child.post("/v1/launches/tiny/stop", forget=True)
    assert not own.exists(), "removed with its launch"


def test_the_doctor_tells_what_this_kernel_can_t_limit(child: Child) -> None:
    support = read_support()
    findings = child.get("/v1/doctor?check=engine-sandbox")
    found = " ".join(finding["found"] for finding in findings)
    if support.landlock is None:
        assert "no landlock" in found
    else:
        assert f"ABI {support.landlock}" in found


@pytest.mark.parametrize(("who", "answered"), [("engine", False), ("client", True)])
def test_an_engine_can_t_speak_to_the_daemon(child: Child, who: str, answered: bool) -> None:
    """Where it can open the socket at all: one that connects to none has no call for it."""
    command = [sys.executable, "-c", CONNECT, str(child.socket), who]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert ("200 OK" in said) is answered, said
