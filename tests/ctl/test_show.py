"""``node-ctl show`` of a model: what launch would choose, and of one that does not fit, what lacks."""

import json
import re
from pathlib import Path

import pytest

from catalog.synthetic.header import shape_of
from config.data import catalogue
from tests.ctl.conftest import Ctl
from tests.rigs.replica import write_replica


def one_line(text: str) -> str:
    """Without the free memory, which changes from one call to the next."""
    return re.sub(r"\d+\.\d GiB", "GiB", " ".join(text.split()))


@pytest.mark.engine
def test_a_model_that_does_not_fit_is_shown_with_what_lacks(owner: Ctl, tmp_path: Path) -> None:
    sizes = [
        (quant.size_bytes or 0, entry, quant) for entry in catalogue().values() for quant in entry.quants
    ]
    _, entry, quant = max(sizes, key=lambda row: row[0])
    path = write_replica(tmp_path / "big.gguf", shape_of(entry, quant))

    done = owner("show", str(path))
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[:9])
    assert shown["model"].startswith(f"{path}, ")
    assert "GiB (file: " in shown["model"]
    assert shown["context"].split()[1] == "tokens,"
    assert shown["memory"].endswith(", the rest is read from the disk for each token")
    assert f"{path} does not fit: it needs " in shown["lacks"]
    assert "--from-disk" in shown["next"]
    refused = owner("plan", str(path))
    assert refused.returncode == 4
    told = json.loads(owner("show", str(path), "--json").stdout)
    assert one_line(refused.stderr) == one_line(
        f"node-ctl: {told['refusal']['message']} hint: {told['refusal']['hint']}"
    )


@pytest.mark.engine
def test_a_folder_of_ones_own_has_the_quant_of_its_header_and_is_no_download(
    owner: Ctl, tmp_path: Path, smollm2: Path
) -> None:
    (tmp_path / "rel").mkdir()
    (tmp_path / "rel" / "tiny.gguf").symlink_to(smollm2)
    done = owner("show", str(tmp_path / "rel"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"model     {tmp_path}/rel, Q4_1, 94 MiB (file: ")
    assert "node-ctl pull" not in done.stdout
    assert "refusal" in json.loads(owner("show", str(tmp_path / "rel"), "--json").stdout)
