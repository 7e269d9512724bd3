"""A child that answers like llama-server, and can be told to misbehave in every way seen of engines.

Its answers are those of the real one, read from tests/captures/llama.cpp. Options it does not know are
ignored, so that it takes an engine's command line. Run it by ``sys.executable``.
"""

import argparse
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CAPTURES = Path(__file__).parent.parent / "captures" / "llama.cpp"
CAPTURED_NAME = "smollm2-135m"
STUBBORN = (
    "import signal,time; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN); time.sleep(600)"
)
STARTED = time.monotonic()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--alias", default=CAPTURED_NAME, help="the name it serves")
    parser.add_argument("--say", default="", help="printed at the start")
    parser.add_argument("--say-second", help="printed at the second start only")
    parser.add_argument("--die", type=int, help="exits with this status; negative: by this signal")
    parser.add_argument("--when", help="with --die: not before that file is there")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds of 503 before it is healthy")
    parser.add_argument("--until", help="is healthy once that file is there")
    parser.add_argument("--deaf", action="store_true", help="ignores SIGTERM and SIGINT")
    parser.add_argument("--only-int", action="store_true", help="ignores SIGTERM until healthy, as vLLM does")
    parser.add_argument("--mute", action="store_true", help="is healthy and never answers a question")
    parser.add_argument("--mute-when", help="as --mute, while that file exists")
    parser.add_argument("--queue", help="questions wait while that file exists; it may say stuck, or silent")
    parser.add_argument("--answer", help="says this instead of the truth")
    parser.add_argument("--answer-file", help="says what is in that file, once it is there")
    parser.add_argument("--raw", help="answers questions with this body, no stream")
    parser.add_argument("--no-timings", action="store_true", help="streams without llama.cpp's timings")
    parser.add_argument(
        "--no-template", action="store_true", help="knows no chat, as vLLM without a template"
    )
    parser.add_argument("--stubborn-child", action="store_true", help="starts a child that ignores signals")
    parser.add_argument("--chatter", type=int, default=0, help="bytes a second into the log")
    parser.add_argument("--write", help="a thread writes to this file all the time")
    parser.add_argument("--write-child", help="starts a child like this with --write")
    parser.add_argument("--shm", help="maps a file of that name in /dev/shm")
    return parser.parse_known_args()[0]


def main() -> None:
    chosen = options()
    if chosen.say:
        print(chosen.say, flush=True)
    if chosen.say_second is not None:
        say_second(chosen.say_second)
    if chosen.deaf:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: term(chosen))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    start_others(chosen)
    held = hold(chosen.shm) if chosen.shm else None
    if chosen.die is not None and chosen.when is None:
        die(chosen.die)
    Answers.chosen = chosen
    ThreadingHTTPServer(("127.0.0.1", chosen.port), Answers).serve_forever()
    del held


def start_others(chosen: argparse.Namespace) -> None:
    """Threads and children beside the one that answers."""
    if chosen.stubborn_child:
        subprocess.Popen([sys.executable, "-c", STUBBORN])
    if chosen.write is not None:
        threading.Thread(target=write, args=(chosen.write,), daemon=True).start()
    if chosen.write_child is not None:
        subprocess.Popen([sys.executable, __file__, "--port", "0", "--write", chosen.write_child])
    if chosen.die is not None and chosen.when is not None:
        threading.Thread(target=die_when, args=(chosen.die, Path(chosen.when)), daemon=True).start()
    if chosen.chatter:
        threading.Thread(target=chatter, args=(chosen.chatter,), daemon=True).start()


def say_second(text: str) -> None:
    """Standard output is the log: it is empty at the first start."""
    if os.fstat(1).st_size:
        print(text, flush=True)
    else:
        print("loading", flush=True)


def term(chosen: argparse.Namespace) -> None:
    if not (chosen.only_int and time.monotonic() - STARTED < chosen.slow):
        os._exit(0)


def die_when(status: int, file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)
    die(status)


def die(status: int) -> None:
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def hold(name: str) -> mmap.mmap:
    with Path("/dev/shm", name).open("w+b") as file:
        file.truncate(4096)
        return mmap.mmap(file.fileno(), 4096)


def chatter(rate: int) -> None:
    while True:
        sys.stdout.write("x" * 99 + "\n" * 1)
        sys.stdout.flush()
        time.sleep(100 / rate)


def write(name: str) -> None:
    with Path(name).open("wb", buffering=0) as file:
        while True:
            file.seek(0)
            file.write(b"x")
            time.sleep(0.01)


class Answers(BaseHTTPRequestHandler):
    chosen: argparse.Namespace
    decoded = 0

    def do_GET(self) -> None:
        if self.is_loading():
            self.reply(503, (CAPTURES / "health-503.json").read_text())
        elif self.is_stuck("silent"):
            self.reply(503, "")
        elif self.path == "/health":
            self.reply(200, (CAPTURES / "health-200.json").read_text())
        elif self.path == "/metrics":
            Answers.decoded += self.is_queued() and not self.is_stuck("stuck")
            waiting = int(self.is_queued())
            counted = f"llamacpp:n_decode_total {self.decoded}\nllamacpp:requests_processing {waiting}\n"
            self.reply(200, counted, kind="text/plain")
        else:
            self.reply(200, (CAPTURES / "models.json").read_text().replace(CAPTURED_NAME, self.chosen.alias))

    def is_loading(self) -> bool:
        awaited = self.chosen.until is not None and not Path(self.chosen.until).exists()
        return awaited or time.monotonic() - STARTED < self.chosen.slow

    def is_queued(self) -> bool:
        return self.chosen.queue is not None and Path(self.chosen.queue).exists()

    def is_stuck(self, how: str) -> bool:
        file = Path(self.chosen.queue or os.devnull)
        return file.exists() and file.read_text() == how

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        while self.is_queued():
            time.sleep(0.01)
        if self.chosen.mute or (self.chosen.mute_when and Path(self.chosen.mute_when).exists()):
            time.sleep(600)
        if self.chosen.no_template and "chat" in self.path:
            self.reply(400, '{"error": {"message": "no chat template", "code": 400}}')
        elif self.chosen.raw is not None:
            self.reply(200, self.chosen.raw)
        else:
            self.reply(200, "".join(self.stream()), kind="text/event-stream", pause_s=0.005)

    def stream(self) -> list[str]:
        lines = (CAPTURES / "chat-stream.txt").read_text().replace(CAPTURED_NAME, self.chosen.alias)
        return [f"{self.changed(line)}\n\n" for line in lines.split("\n\n") if line.startswith("data: ")]

    def changed(self, line: str) -> str:
        if line == "data: [DONE]":
            return line
        chunk = json.loads(line.removeprefix("data: "))
        if self.chosen.no_timings:
            chunk.pop("timings", None)
        if self.chosen.answer_file is not None and Path(self.chosen.answer_file).exists():
            self.chosen.answer = Path(self.chosen.answer_file).read_text()
        for choice in chunk["choices"]:
            said = choice.pop("delta").get("content")
            if said and self.chosen.answer is not None:
                said = self.chosen.answer
            choice["delta" if "chat" in self.path else "text"] = (
                {"content": said} if "chat" in self.path else said
            )
        return f"data: {json.dumps(chunk)}"

    def reply(self, status: int, body: str, *, kind: str = "application/json", pause_s: float = 0.0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for part in body.splitlines(keepends=True):
            self.wfile.write(part.encode())
            time.sleep(pause_s)

    def log_message(self, *args: object) -> None:
        """Real engines print a line a request, too; a test reads other lines."""


if __name__ == "__main__":
    main()
