"""Median, p90 and worst error of predicted speeds per class of published runs. ``--rows`` prints each run,
``--vllm`` is for those of vLLM alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.rigs import vllm_speed
from tests.rigs.speed_errors import all_comparisons, table


def main() -> None:
    if "--vllm" not in sys.argv[1:]:
        print_llama_cpp()
    if "--rows" in sys.argv[1:]:
        for comparison in vllm_speed.comparisons():
            case, range_ = comparison.case, comparison.predicted
            print(
                f"{case.number:4} {case.phase:7} {case.kind:14} {case.model:20} {case.quant:9} "
                f"ranks {len(case.ranks)} streams {case.sequences:3} "
                f"measured {case.measured:8.1f} predicted {range_.expected:8.1f} "
                f"({range_.low:.1f} to {range_.high:.1f})  {case.box}"
            )
    print(vllm_speed.table())


def print_llama_cpp() -> None:
    if "--rows" in sys.argv[1:]:
        for comparison in all_comparisons():
            row, range_ = comparison.row, comparison.predicted
            print(
                f"{row.number:4} {comparison.phase:7} {comparison.kind:14} {row.model:20} "
                f"depth {row.depth_tokens:6} "
                f"measured {comparison.measured:8.1f} predicted {range_.expected:8.1f} "
                f"({range_.low:.1f} to {range_.high:.1f})  {row.box[:50]}"
            )
    print(table())


if __name__ == "__main__":
    main()
