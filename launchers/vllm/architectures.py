"""The architectures that the vLLM of an environment knows, from its source: importing it takes 9 s."""

import ast
from collections.abc import Iterator
from pathlib import Path

from launchers.vllm.capabilities import site_packages

REGISTRY = Path("vllm", "model_executor", "models", "registry.py")
ALL = "_VLLM_MODELS"  # a dictionary of the others, unpacked (vLLM 0.32.0)
MAX_BYTES = 1 << 20  # it has 65 KB


def known_architectures(path: str) -> tuple[str, ...] | None:
    """Sorted, ``None`` where the list is not found. Blocks."""
    site = site_packages(Path(path))
    try:
        if site is None or (site / REGISTRY).stat().st_size > MAX_BYTES:
            return None
        tree = ast.parse((site / REGISTRY).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    return tuple(sorted(set(_keys(tree)))) or None


def _keys(tree: ast.Module) -> Iterator[str]:
    tables = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Dict)
    }
    for unpacked in tables[ALL].values if ALL in tables else ():
        table = tables.get(unpacked.id) if isinstance(unpacked, ast.Name) else None
        for key in table.keys if table else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value
