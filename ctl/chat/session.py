"""A conversation with a served model: a line is a message, the history is kept until the session ends."""

import re
import sys
from collections.abc import Callable
from contextlib import closing, suppress

from ctl.chat.answer import Chat, Message, Sampling
from ctl.chat.ask import as_object, chat_with, summary
from ctl.terminal import is_terminal, note, print_json_line, sanitize
from domain.errors import NodeError, UsageError
from domain.launches.launch import LaunchRow
from domain.units import MIB

PROMPT = ">>> "
MORE_PROMPT = "... "
QUOTES = '"""'  # as Ollama's client has it: what is between them is one message
MAX_MESSAGE_CHARS = 4 * MIB
HELP = (
    '/clear forgets the conversation, /bye or Ctrl-D leaves, Ctrl-C stops an answer, """ begins and ends a '
    "message of several lines"
)
COMMANDS_HELP = (
    f"there are /clear, /help and /bye; a message that begins with / stands between {QUOTES} and {QUOTES}"
)
COMMAND = re.compile(r"/[a-z?]{1,30}", re.IGNORECASE)  # /etc/fstab is none
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


class Session:
    """``served`` finds the launch for each message anew: an engine that was started again may have another
    address."""

    def __init__(
        self, served: Callable[[], LaunchRow], sampling: Sampling, *, system: str | None, as_json: bool
    ) -> None:
        self._served = served
        self._sampling = sampling
        self._as_json = as_json
        self._beginning: list[Message] = [{"role": "system", "content": system}] if system else []
        self._messages = list(self._beginning)
        self._typed = sys.stdin.isatty()

    def run(self) -> None:
        """Until /bye or the end of the input. Raises: NodeError where nobody types."""
        row = self._served()
        if self._typed:
            with suppress(ImportError):  # a Python that was built without it has no line editing
                import readline  # noqa: F401, PLC0415 - gives input() its line editing
            note(f"{row.name}: {row.model}, context {row.context_tokens or '?'} tokens. {HELP}")
        while (read := self._read()) is not None:
            text, is_quoted = read
            command = "" if is_quoted else text.strip().partition(" ")[0]
            if command in ("/bye", "/exit"):
                return
            if COMMAND.fullmatch(command):
                self._obey(command)
            elif text.strip():
                self._turn(text)

    def _obey(self, command: str) -> None:
        """Raises: UsageError for one that there is not, where nobody types."""
        if command == "/clear":
            self._messages = list(self._beginning)
            note("the conversation is forgotten")
        elif command in ("/help", "/?"):
            note(HELP)
        elif self._typed:
            note(f"no command is called {command}: {COMMANDS_HELP}")
        else:
            raise UsageError(f"no command is called {command}", hint=COMMANDS_HELP)

    def _read(self) -> tuple[str, bool] | None:
        """The next message and whether it was quoted, ``None`` at the end. Ctrl-C forgets what was typed so
        far."""
        while True:
            try:
                line = self._line(PROMPT)
                return (self._quoted(line), True) if line.strip().startswith(QUOTES) else (line, False)
            except EOFError:
                if self._typed:
                    note("")
                return None
            except KeyboardInterrupt:
                if not self._typed:
                    raise
                note("\nCtrl-D or /bye leaves")

    def _quoted(self, line: str) -> str:
        text = line.strip().removeprefix(QUOTES)
        with suppress(EOFError):  # the end of the input ends the message, too
            while not text.rstrip().endswith(QUOTES):
                text += "\n" + self._line(MORE_PROMPT)
        return text.rstrip().removesuffix(QUOTES)

    def _line(self, prompt: str) -> str:
        if self._typed:
            return input(prompt)
        line = sys.stdin.readline(MAX_MESSAGE_CHARS)
        if not line:
            raise EOFError
        if len(line) == MAX_MESSAGE_CHARS:
            raise UsageError(f"a line of standard input is longer than {MAX_MESSAGE_CHARS} characters")
        return line.rstrip("\n")

    def _turn(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        written: list[str] = []
        try:
            row = self._served()
            chat = chat_with(row, self._messages, self._sampling)
            self._stream(chat, written)
            if self._as_json:
                print_json_line(as_object(row, "".join(written), chat.stats))
            elif self._typed:
                note(summary(chat.stats, self._sampling))
        except KeyboardInterrupt:
            if not self._typed:
                raise
            note("\n[stopped]")
        except NodeError as error:
            if not self._typed:
                raise
            note(sanitize(f"node-ctl: {error}\nhint: {error.hint or HELP}", to=sys.stderr))
        if written:
            self._messages.append({"role": "assistant", "content": "".join(written)})
        else:
            self._messages.pop()  # a question without an answer would confuse the next one

    def _stream(self, chat: Chat, written: list[str]) -> None:
        """Prints as it arrives; thoughts only on a terminal, dimmed. ``written`` gets the answer."""
        shows_thoughts = is_terminal() and not self._as_json
        thinking = False
        with closing(chat.pieces()) as pieces:
            for piece in pieces:
                if piece.is_thought is not thinking and shows_thoughts:
                    thinking = piece.is_thought
                    print(DIM if thinking else f"{PLAIN}\n\n", end="")
                if not piece.is_thought:
                    written.append(piece.text)
                if not self._as_json and (shows_thoughts or not piece.is_thought):
                    print(sanitize(piece.text), end="", flush=True)
        if not self._as_json:
            print(PLAIN if thinking else "", flush=True)
