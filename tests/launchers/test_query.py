"""A binary is asked by a real child whose time, output and memory are limited."""

import os
import select
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.errors import EngineError
from domain.units import GIB, MIB
from launchers import query
from launchers.environment import LIBRARY_PATH


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def never(output: str) -> bool:
    return False


def test_output_of_both_streams_is_returned() -> None:
    program = "import os; os.write(1, b'caf\\xc3\\xa9 '); os.write(2, b'\\xff')"
    assert query.run(python(program), timeout_s=60) == "caf\u00e9 \ufffd"


@pytest.mark.parametrize(
    ("program", "timeout_s", "says", "engine_output"),
    [
        pytest.param("import sys; sys.exit('broken')", 60, "exited 1", "broken", id="a status"),
        pytest.param("import os; os.kill(os.getpid(), 9)", 60, "exited -9", "", id="a signal"),
        pytest.param("import time; time.sleep(600)", 0.2, "no answer in 0.2 s", "", id="a hang"),
        pytest.param(
            "import os,time; os.close(1); os.close(2); time.sleep(600)", 0.2, "no answer", "", id="a mute"
        ),
        pytest.param("while True: print('x' * 1000)", 60, "more than 4 MiB", "", id="too much"),
    ],
)
def test_a_failed_question_is_an_error(program: str, timeout_s: float, says: str, engine_output: str) -> None:
    with pytest.raises(EngineError, match=says) as failed:
        query.run(python(program), timeout_s=timeout_s)
    assert failed.value.cause == "no_answer"
    assert failed.value.engine_output == engine_output


def test_a_missing_binary_is_an_error() -> None:
    with pytest.raises(EngineError, match="can't be started: No such file"):
        query.run(("/nonexistent/llama-server",), timeout_s=60)


def test_another_status_may_be_an_answer_too() -> None:
    assert query.run(python("print('hello'); exit(3)"), timeout_s=60, statuses=(0, 3)) == "hello\n"


def test_once_complete_it_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    program = (
        f"import os, subprocess, time; held = os.open({str(fifo)!r}, os.O_WRONLY)\n"
        f"subprocess.Popen(['sleep', '600'], pass_fds=[held]); print('complete', flush=True); time.sleep(600)"
    )
    output = query.read_until(python(program), lambda output: "complete" in output, timeout_s=60)
    assert (output.text.strip(), output.status) == ("complete", None)
    poll = select.poll()
    poll.register(reader, 0)
    try:
        assert poll.poll(120_000) == [(reader, select.POLLHUP)]  # no process has it open for writing
    finally:
        os.close(reader)


@pytest.mark.parametrize(("end", "status"), [("exit(3)", 3), ("os.kill(os.getpid(), 11)", -11)])
def test_how_a_child_ended_that_never_was_complete_is_told(
    monkeypatch: pytest.MonkeyPatch, end: str, status: int
) -> None:
    monkeypatch.setattr(query, "EXIT_WITHIN_S", 60.0)
    output = query.read_until(python(f"import os; print('x', flush=True); {end}"), never, timeout_s=60)
    assert output == query.Observed("x\n", status)


def test_output_without_end_is_cut_off() -> None:
    output = query.read_until(python("while True: print('x' * 1000)"), never, timeout_s=600)
    assert 4 * MIB <= len(output.text) <= 5 * MIB


def test_address_space_and_core_files_are_limited() -> None:
    """The limits are set while it runs: it prints until they are there."""
    program = (
        "import resource, time\n"
        "while True:\n"
        "  limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_CORE)]\n"
        "  print(*limits, flush=True); time.sleep(0.01)"
    )
    wanted = f"{4 * GIB} 0"
    output = query.read_until(
        python(program), lambda output: wanted in output, timeout_s=60, address_space_bytes=4 * GIB
    )
    assert output.text.splitlines()[-1] == wanted


def test_library_folders_go_in_front_of_those_already_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBRARY_PATH, "/theirs")
    program = f"import os; print(os.environ[{LIBRARY_PATH!r}])"
    assert query.run(python(program), timeout_s=60, env={LIBRARY_PATH: "/ours"}) == "/ours:/theirs\n"


def test_an_answer_that_lost_its_last_lines_is_asked_for_again(tmp_path: Path) -> None:
    binary, asked = tmp_path / "llama-server", tmp_path / "asked"
    binary.write_text(f"#!/bin/sh\necho . >> {asked}\n[ $(wc -l < {asked}) = 1 ] || echo whole\nexit 1\n")
    binary.chmod(0o755)

    def answer() -> str:
        return query.answer(
            str(binary), ("x",), timeout_s=60, statuses=(1,), is_whole=lambda text: "whole" in text
        )

    assert (answer(), answer()) == ("whole\n", "whole\n")
    assert asked.read_text() == ".\n.\n", "remembered once it is whole"


@pytest.mark.parametrize("status", [0, 7])
def test_threads_that_ask_the_same_share_the_answer_or_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    binary, asked, goes_on = tmp_path / "llama-server", tmp_path / "asked", tmp_path / "goes-on"
    os.mkfifo(goes_on)
    binary.write_text(f"#!/bin/sh\necho . >> {asked}\nread line < {goes_on}\necho told\nexit {status}\n")
    binary.chmod(0o755)
    waiting = threading.Semaphore(0)

    class Watched(Future[str]):
        def result(self, timeout: float | None = None) -> str:
            waiting.release()
            return super().result(timeout)

    def answer() -> str:
        try:
            return query.answer(str(binary), ("x",), timeout_s=60)
        except EngineError as error:
            return error.engine_output

    monkeypatch.setattr(query, "Future", Watched)
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(answer) for _ in range(8)]
        assert all(waiting.acquire(timeout=60) for _ in range(7))
        goes_on.write_text("now\n")
        assert {one.result().strip() for one in answers} == {"told"}
    assert asked.read_text() == ".\n"
