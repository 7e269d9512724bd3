"""The environment of an engine: what engines and GPU drivers read, and nothing else of the daemon's."""

import re
from collections.abc import Iterable, Mapping

LIBRARY_PATH = "LD_LIBRARY_PATH"
NAMES = """
PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR XDG_CACHE_HOME LD_LIBRARY_PATH LD_PRELOAD DRI_PRIME
TOKENIZERS_PARALLELISM
"""
# GPU runtimes and drivers, their choice of devices, libraries for computing. Not LLAMA_: llama-server takes
# those for options, which are the plan's business.
PREFIXES = (
    *("LC_", "CUDA_", "NVIDIA_", "HIP_", "HSA_", "ROCR_", "ROCM_", "ROCBLAS_", "HIPBLASLT_", "MIOPEN_"),
    *(
        "GPU_",
        "AMD_",
        "VK_",
        "MESA_",
        "RADV_",
        "ACO_",
        "ANV_",
        "LP_",
        "GALLIUM_",
        "LIBGL_",
        "OCL_",
        "ONEAPI_",
    ),
    *("SYCL_", "ZE_", "ZES_", "UR_", "GGML_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "BLIS_", "MKL_", "DNNL_"),
    *("ONEDNN_", "VLLM_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TRITON_", "NCCL_", "GLOO_", "MALLOC_"),
)
# HF_TOKEN, AWS_SECRET_ACCESS_KEY, OPENAI_API_KEY, SSH_AUTH_SOCK; not TOKENIZERS_PARALLELISM.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_KEY|PRIVATE_KEY|AUTH)"
    r"(?:_|$)",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"://[^/@\s]+@")  # a URL with a user name or password


def is_secret(name: str, value: str) -> bool:
    return SECRET_NAME.search(name) is not None or SECRET_VALUE.search(value) is not None


def child_environment(
    base: Mapping[str, str], additions: Mapping[str, str], *, passed: Iterable[str] = ()
) -> dict[str, str]:
    """Of ``base`` what an engine needs, and the variables that its owner names in ``passed``; then the
    additions. Library folders go in front of those already there. Secrets are dropped, whoever names them:
    an engine fetches nothing, so it needs no token."""
    wanted = {*NAMES.split(), *passed}
    kept = {
        name: value
        for name, value in base.items()
        if (name in wanted or name.startswith(PREFIXES)) and not is_secret(name, value)
    }
    merged = {**kept, **additions}
    if base.get(LIBRARY_PATH) and additions.get(LIBRARY_PATH):
        merged[LIBRARY_PATH] = f"{additions[LIBRARY_PATH]}:{base[LIBRARY_PATH]}"
    return merged
