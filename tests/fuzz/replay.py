"""``python -m tests.fuzz.replay TARGET [FILE ...]``: runs inputs once and prints what is wrong with them."""

import sys
from pathlib import Path

from tests.fuzz.target import corpus, load
from tests.fuzz.watch import Watch, own_peak_kib


def main(name: str, files: list[str]) -> int:
    target = load(name)
    watch = Watch(target, peak_kib=own_peak_kib)
    watch.arm()
    inputs = {path.name: path.read_bytes() for path in (map(Path, files) if files else corpus(name))}
    if not files:
        inputs |= {f"seed {number}": data for number, data in enumerate(target.seeds())}
    findings = 0
    for label, data in inputs.items():
        if finding := watch.run(data):
            findings += 1
            print(f"{label}: {finding.key}: {finding.what}")
    watch.disarm()
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
