"""Predicted memory beside what llama.cpp reported of the same command lines: each row, median, p90, worst."""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate
from tests.planner import build

PARTS = {"model": "weights_bytes", "context": "kv_cache_bytes", "compute": "compute_bytes"}


def compared(shape: ModelShape, row: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Device, predicted and reported MiB. The engine rounds each part down, so do we."""
    machine = build.assumed_gpus(row["gpus"])
    found = {
        "Host" if memory.device == "host" else memory.device: memory
        for memory in estimate(shape, parse(row["args"]), machine, tool=EngineTool.FIT_PARAMS).memory
    }
    return [
        (device, sum(getattr(found[device], PARTS[part]) // MIB for part in parts), sum(parts.values()))
        for device, parts in row["memory_mib"].items()
        if any(parts.values())
    ]


def report(title: str, rows: list[dict[str, Any]], shape_of: Callable[[dict[str, Any]], ModelShape]) -> None:
    errors = []
    for row in rows:
        said = []
        for device, mine, reported in compared(shape_of(row), row):
            errors.append(abs(mine / reported - 1))
            said.append(f"{device} {mine} of {reported} MiB ({mine / reported - 1:+.2%})")
        print(f"{row['model']:<20}{' '.join(row['args']):<62} {', '.join(said)}")
    errors.sort()
    p90 = errors[int(0.9 * (len(errors) - 1))]
    models = {row["model"] for row in rows}
    print(f"\n{title}\n{len(rows)} command lines of {len(models)} models, {len(errors)} devices")
    print(f"error of a device's total: median {statistics.median(errors):.2%}, p90 {p90:.2%}, ", end="")
    print(f"worst {errors[-1]:.2%}\n")


def main() -> None:
    truth, more = build.truth(), build.architectures()
    report(truth["engine"], truth["rows"], lambda row: build.shape(row["model"], row["quant"]))
    known, unknown = (
        [row for row in more["rows"] if build.is_known(row["model"]) is wanted] for wanted in (True, False)
    )
    report(f"{more['engine']}\nother models, of known architectures", known, published)
    report("architectures without rules: upper bounds", unknown, published)


def published(row: dict[str, Any]) -> ModelShape:
    return build.published(row["model"])


if __name__ == "__main__":
    main()
