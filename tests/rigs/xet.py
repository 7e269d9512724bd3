"""Xet storage in a folder, filled by the real client: its ``local://`` endpoint is what its own tests use."""

from pathlib import Path

from hf_xet import COMPUTE_SHA256, XetSession

from tests.rigs.hub import Hub, sha256


def keep_in_xet(hub: Hub, folder: Path, data: bytes) -> None:
    """From now on ``hub`` says of a file with this content that xet storage has it."""
    folder.mkdir(parents=True, exist_ok=True)
    hub.xet_storage = f"local://{folder}"
    with XetSession().new_upload_commit(endpoint=hub.xet_storage) as commit:
        handle = commit.start_upload_bytes(data, name="file", sha256=COMPUTE_SHA256)
    hub.xet[sha256(data)] = handle.result().xet_info.hash
