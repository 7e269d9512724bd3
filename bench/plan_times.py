"""Processor time of plans: one model of the catalogue on fifteen machines, as ``node-ctl compare`` plans it.

Beside it the time that the same processor takes to add up ten million numbers. The daemon plans as many
machines at a time as there are CPUs; where a repository has many quants, the search takes most of the time.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from config.data import profile, profile_names
from domain.errors import NodeError
from domain.launches.plan import LaunchOptions
from planner.choose.choose import plan
from tests.rigs.catalogue_models import resolved_models

MODELS = ("gpt-oss-120b", "llama-3.3-70b", "qwen3-32b", "deepseek-r1")
NUMBERS = 10_000_000


def main() -> None:
    reference_s = timed_reference()
    print(f"adding up {NUMBERS} numbers: {reference_s:.2f} s of one CPU\n")
    print(f"{'model':<16}{'quants':>7}{'15 machines':>13}{'ratio':>7}{'slowest':>9}  on")
    for name in MODELS:
        times = {box: seconds_of_plan(name, box) for box in profile_names()}
        slowest, total_s = max(times, key=lambda box: times[box]), sum(times.values())
        print(
            f"{name:<16}{len(resolved_models(name)):>7}{total_s:>11.2f} s{total_s / reference_s:>7.1f}"
            f"{times[slowest]:>7.2f} s  {slowest}"
        )


def seconds_of_plan(name: str, box: str) -> float:
    models, machine = resolved_models(name), profile(box)
    with stopwatch() as took_s, suppress(NodeError):  # what does not fit takes a search, too
        plan(name, models, machine, LaunchOptions())
    return took_s[0]


def timed_reference() -> float:
    with stopwatch() as took_s:
        sum(range(NUMBERS))
    return took_s[0]


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    took_s = [0.0]
    begun = time.process_time()
    yield took_s
    took_s[0] = time.process_time() - begun


if __name__ == "__main__":
    main()
