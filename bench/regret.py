"""What the search for a plan loses beside the best of every option, by the estimator alone: 40 pairs of model
and machine. ``python bench/regret.py 8`` looks at eight of them."""

import statistics
import sys
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from config.data import profile, profile_names
from planner.choose.candidates import Candidate
from planner.llama_cpp.search import llama_flags
from tests.rigs.catalogue_models import plannable, resolved_models
from tests.rigs.regret import regret

PAIRS = 40
EVERY = 3  # model of the catalogue


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    lost: list[float] = []
    options = 0
    boxes = cycle(profile_names())
    for model in plannable()[::EVERY] * 2:
        if len(lost) == wanted:
            break
        box = next(boxes)
        found = regret(resolved_models(model), profile(box))
        if found is None:
            continue
        lost.append(found.lost)
        options += found.options
        line = f"{found.lost:5.2f} %  {model} on {box}: {described(found.chosen)}"
        print(line if found.lost < 0.01 else f"{line}; best {described(found.best)}", flush=True)
    print(f"\n{len(lost)} pairs, {options} options tried")
    print(f"lost turns per hour: median {statistics.median(lost):.2f} %, worst {max(lost):.2f} %")


def described(candidate: Candidate) -> str:
    flags = llama_flags(candidate)
    words = [candidate.quant, str(candidate.context_tokens), candidate.cache_type, f"-ngl {flags.gpu_layers}"]
    words += [f"experts of {flags.n_cpu_moe} on the CPU"] if flags.n_cpu_moe else []
    return ", ".join((*words, f"ubatch {flags.ubatch}"))


if __name__ == "__main__":
    main()
