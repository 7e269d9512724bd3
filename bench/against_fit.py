"""Our plan and llama-server's --fit on lent devices of the same sizes: tokens/s of both, and their ratio."""

import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from domain.launches.plan import LLAMA_CPP
from launchers.base import SearchPaths
from launchers.registry import choose
from tests.conftest import small_model
from tests.rigs import rpc
from tests.rigs.against_fit import Case, interleaved, ratios
from tests.rigs.moe import write_moe

ROUNDS = 2  # below a minute; the first argument asks for more


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    engine = choose(LLAMA_CPP, SearchPaths(search_path=os.environ["PATH"]))
    dense = small_model()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        moe = write_moe(dense, folder / "moe.gguf")
        cases = [
            Case("dense, part of it on one device", dense, (150,)),
            Case("dense, on two unequal devices", dense, (160, 90)),
            Case("experts, part of them on one device", moe, (220,)),
        ]
        print(
            f"{'case':<38}{'ours':>8}{'--fit':>8}  tokens/s, medians   ratio (lowest to highest of {rounds})"
        )
        for case in cases:
            with rpc.devices(case.sizes_mib, folder) as addresses:
                found = interleaved(case, engine, addresses, folder, rounds=rounds)
            ours, theirs = (
                statistics.median(run.decode_tokens_per_s for run in runs) for runs in found.values()
            )
            low, middle, high = ratios(found)
            print(f"{case.name:<38}{ours:>8.1f}{theirs:>8.1f}{middle:>26.2f} ({low:.2f} to {high:.2f})")
            for name, runs in found.items():
                held = ", ".join(f"{mib:.0f}" for mib in runs[0].held_mib.values())
                limits = ", ".join(f"{mib}" for mib in case.limits_mib)
                print(f"  {name:<6} {runs[0].layers} layers there, {held or 'nothing'} of {limits} MiB")


if __name__ == "__main__":
    main()
