"""Predicted memory beside what llama.cpp reported of the same command lines: each row, median, p90, worst."""

import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.estimate import estimate
from planner.resolved import Reader
from tests.planner import build

PARTS = {"model": "weights_bytes", "context": "kv_cache_bytes", "compute": "compute_bytes"}


def compared(row: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Device, predicted and reported MiB. The engine rounds each part down, so do we."""
    shape = build.shape(row["model"], row["quant"])
    machine = build.assumed_gpus(row["gpus"])
    found = {
        "Host" if memory.device == "host" else memory.device: memory
        for memory in estimate(shape, parse(row["args"]), machine, reader=Reader.FIT_PARAMS).memory
    }
    return [
        (device, sum(getattr(found[device], PARTS[part]) // MIB for part in parts), sum(parts.values()))
        for device, parts in row["memory_mib"].items()
    ]


def main() -> None:
    truth = build.truth()
    errors = []
    for row in truth["rows"]:
        said = []
        for device, mine, reported in compared(row):
            errors.append(abs(mine / reported - 1))
            said.append(f"{device} {mine} of {reported} MiB ({mine / reported - 1:+.2%})")
        print(f"{row['model']:<17}{row['quant']:<8}{' '.join(row['args']):<62} {', '.join(said)}")
    errors.sort()
    p90 = errors[int(0.9 * (len(errors) - 1))]
    print(f"\n{truth['engine']}")
    print(f"{len(truth['rows'])} command lines of {len(truth['models'])} models, {len(errors)} devices")
    print(f"error of a device's total: median {statistics.median(errors):.2%}, p90 {p90:.2%}, ", end="")
    print(f"worst {errors[-1]:.2%}")


if __name__ == "__main__":
    main()
