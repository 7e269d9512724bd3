"""Progress on a terminal: a growing list of steps with a spinner or bar on the last. Imports rich."""

from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ctl.show.progress import format_transfer
from domain.launches.launch import LAST_STEPS, Progress, Step

BAR_WIDTH = 30


class LiveView:
    """Draws while it is entered; the last state stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._steps: list[Progress] = []
        self._end: Step | None = None
        self._spinner = Spinner("line")
        self._live = Live(self, console=console, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def add(self, progress: Progress) -> None:
        if progress.step in LAST_STEPS:
            self._end = progress.step
        if progress.step is Step.FAILED:  # its message is printed once, as the command's error
            return
        if self._steps and self._steps[-1].step is progress.step:
            self._steps[-1] = progress
        else:
            self._steps.append(progress)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One row for each step: done, failed or running."""
        done, failed = ("ok", "x") if options.ascii_only else ("✓", "✗")
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for index, progress in enumerate(self._steps):
            newest = index == len(self._steps) - 1
            if newest and self._end is None:
                table.add_row(self._spinner, str(progress.step), _running(progress))
            elif newest and self._end is Step.FAILED:
                table.add_row(Text(failed, "red"), str(progress.step), Text(progress.message))
            else:
                table.add_row(Text(done, "green"), str(progress.step), Text(progress.message))
        yield table


def _running(progress: Progress) -> Table | Text:
    if progress.bytes_done is None:
        return Text(progress.message)
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=progress.bytes_total, completed=progress.bytes_done, width=BAR_WIDTH)
    grid.add_row(bar, Text(format_transfer(progress)))
    return grid
