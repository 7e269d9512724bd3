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
# Options of llama-server: arg.cpp names one for most of them.
OPTION_PREFIXES = ("LLAMA_ARG_", "MTMD_")
# What moves memory that was planned, or hides that there is too little: ggml-backend-reg.cpp, ggml-cuda.cu,
# ggml-vulkan.cpp, vllm/envs.py. A choice of devices is no such: builds are asked for their devices under it.
_PLANNED_NAMES = """
GGML_BACKEND_PATH GGML_CUDA_ENABLE_UNIFIED_MEMORY GGML_VK_ALLOW_SYSMEM_FALLBACK GGML_VK_PREFER_HOST_MEMORY
GGML_VK_FORCE_MAX_ALLOCATION_SIZE GGML_VK_FORCE_MAX_BUFFER_SIZE VLLM_CPU_KVCACHE_SPACE
VLLM_ALLOW_LONG_MAX_MODEL_LEN VLLM_PORT
"""
PLANNED = frozenset(_PLANNED_NAMES.split())
# HF_TOKEN, AWS_SECRET_ACCESS_KEY, OPENAI_API_KEY, SSH_AUTH_SOCK; not TOKENIZERS_PARALLELISM.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_KEY|PRIVATE_KEY|AUTH)"
    r"(?:_|$)",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"://[^/@\s]+@")  # a URL with a user name or password


def is_secret(name: str, value: str) -> bool:
    return SECRET_NAME.search(name) is not None or SECRET_VALUE.search(value) is not None


def overrides_plan(name: str) -> bool:
    return name in PLANNED or name.startswith(OPTION_PREFIXES)


def overriding(base: Mapping[str, str], *, passed: Iterable[str] = ()) -> tuple[str, ...]:
    """Variables of ``base`` that engines do not get because they would change what was planned, sorted."""
    return tuple(sorted(filter(overrides_plan, base.keys() - set(passed))))


def child_environment(
    base: Mapping[str, str], additions: Mapping[str, str], *, passed: Iterable[str] = ()
) -> dict[str, str]:
    """Of ``base`` what an engine needs and no plan decides, and the variables that its owner names in
    ``passed``; then the additions. Library folders go in front of those already there. Secrets are dropped,
    whoever names them: an engine fetches nothing, so it needs no token."""
    wanted = {*NAMES.split(), *passed}
    kept = {
        name: value
        for name, value in base.items()
        if (name in wanted or (name.startswith(PREFIXES) and not overrides_plan(name)))
        and not is_secret(name, value)
    }
    merged = {**kept, **additions}
    if base.get(LIBRARY_PATH) and additions.get(LIBRARY_PATH):
        merged[LIBRARY_PATH] = f"{additions[LIBRARY_PATH]}:{base[LIBRARY_PATH]}"
    return merged
