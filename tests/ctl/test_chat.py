"""``node-ctl chat`` and ``run``: what reaches the engine, and what is printed, without a terminal."""

import json

from domain.serialization import to_json
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.conversation import ConversationEngine
from tests.fakes.daemon_server import Answer, FakeDaemon


def test_each_line_is_a_message_and_the_history_goes_with_it(ctl: Ctl, engine: ConversationEngine) -> None:
    done = ctl("chat", "smol", stdin=b'one\n\n"""two\nlines"""\n/clear\nthree\n"""fo\nur')
    assert (done.returncode, done.stdout) == (0, "1 é\n3 é\n1 é\n3 é\n")
    assert done.stderr == "the conversation is forgotten\n"
    assert engine.said == [["one"], ["one", "1 é", "two\nlines"], ["three"], ["three", "1 é", "fo\nur"]]
    assert "temperature" not in engine.bodies[0], "the engine knows what suits its model"


def test_an_unknown_command_is_no_message(ctl: Ctl, engine: ConversationEngine) -> None:
    done = ctl("chat", "smol", stdin=b'/etc/fstab?\n"""/save it"""\n/nosuch one\nnever said\n')
    assert done.returncode == 2
    assert done.stderr.startswith("node-ctl: no command is called /nosuch\nhint: there are /clear, /help and")
    assert engine.said == [["/etc/fstab?"], ["/etc/fstab?", "1 é", "/save it"]]


def test_on_a_terminal_it_is_answered_and_the_chat_goes_on(ctl: Ctl, engine: ConversationEngine) -> None:
    with terminal(["chat", "smol"], ctl.env, columns=200) as screen:
        screen.until(">>> ")
        screen.press(b"/nosuch\n")
        screen.until("no command is called /nosuch: there are /clear, /help and /bye")
        screen.press(b"hello\n")
        screen.until("1 é")
        screen.press(b"/bye\n")
        assert screen.ended() == 0
    assert engine.said == [["hello"]]


def test_instructions_come_first_and_stay(ctl: Ctl, engine: ConversationEngine) -> None:
    options = ("--system", "Be brief.", "--max-tokens", "7", "--temperature", "0.5")
    done = ctl("chat", *options, "--json", stdin=b"a\n/clear\nb\n/bye\nnever said\n")
    assert [json.loads(line)["answer"] for line in done.stdout.splitlines()] == ["2 é", "2 é"]
    assert engine.said == [["Be brief.", "a"], ["Be brief.", "b"]]
    assert (engine.bodies[0]["max_tokens"], engine.bodies[0]["temperature"]) == (7, 0.5)


def test_where_nobody_types_a_refusal_ends_it(ctl: Ctl, engine: ConversationEngine) -> None:
    done = ctl("chat", "smol", stdin=b"a\nrefuse\nb\n")
    assert (done.returncode, done.stdout) == (6, "1 é\n")
    assert "the engine refused: the context is full" in done.stderr
    assert len(engine.bodies) == 2


def test_a_chat_needs_a_launch_that_answers(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches/big", answers.DETAIL | {"launch": to_json(answers.FAILED_ROW)})
    done = ctl("chat", "big", stdin=b"a\n")
    assert done.returncode == 1
    assert "hint: see node-ctl logs big, or serve it again: node-ctl start big" in done.stderr


def test_run_launches_and_asks(ctl: Ctl, daemon: FakeDaemon, engine: ConversationEngine) -> None:
    daemon.on("POST /v1/launches", Answer({"name": "smol", "created": True}, 202))
    daemon.on("GET /v1/launches/smol/progress", Answer(lines=answers.TO_READY))
    options = "--context 4k --quant Q8_0 --parallel 2 --min-decode 5 --from-disk --engine llama.cpp"
    done = ctl("run", "m", *options.split(), "why", "so", "--name", "smol", stdin=b"text\n")
    assert (done.returncode, done.stdout) == (0, "1 é\n")
    assert "ready     ready after 1.2 s" in done.stderr
    assert daemon.asked[0].body == {
        "model": "m",
        "name": "smol",
        "context_tokens": 4096,
        "quality": "Q8_0",
        "parallel": 2,
        "min_decode_tokens_per_s": 5.0,
        "from_disk": True,
        "engine": "llama.cpp",
    }
    assert engine.said == [["text\n\nwhy so"]]


def test_run_without_a_question_is_a_chat(ctl: Ctl, daemon: FakeDaemon, engine: ConversationEngine) -> None:
    daemon.on("POST /v1/launches", {"name": "smol", "created": False})
    done = ctl("run", "smol")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "smol is already served with the same options\n"
