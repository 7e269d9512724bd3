#!/bin/bash
# Make the environment of clients (.cache/clients): those of PyPI in venv, with a node for those of npm in npm.
# A second run is instant: the stamp holds the digest of what it is made from.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../../..")
clients=$root/.cache/clients
python=${PYTHON:-python3}

wanted=$(cat "$here/requirements.txt" "$here/package.json" "$0" | sha256sum)
[ "$(cat "$clients/stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf "$clients"
mkdir -p "$clients/npm"
"$python" -m venv "$clients/venv"
"$clients/venv/bin/pip" install -qq --requirement "$here/requirements.txt"
cp "$here/package.json" "$clients/npm/"
cd "$clients/npm"
PATH=$clients/venv/bin:$PATH npm install --no-audit --no-fund --no-package-lock --ignore-scripts --silent
echo "$wanted" >"$clients/stamp"
