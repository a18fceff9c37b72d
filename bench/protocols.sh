#!/usr/bin/env bash
# Builds what the comparison of protocols needs, prepares model and inputs, and runs bench/protocols.py.
#
#   bench/protocols.sh [protocols.py options]
#
# Environment: BENCH_SECONDS, BENCH_OUT (see protocols.py), CARGO_TARGET_DIR, PORTEND_CACHE and BENCH_DATA (see serve.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PORTEND_CACHE:-$HOME/.cache/portend}
data=${BENCH_DATA:-$cache/bench}
target=${CARGO_TARGET_DIR:-$here/../target}

command -v wrk >/dev/null || { apt-get update -q && apt-get install -y -q wrk; } >&2
(cd "$here/.." && cargo build --release --bin portend && cargo build --release -p portend-server --example grpc_load) >&2

if [[ ! -e $data/made.json ]]; then
  venv=$cache/bench-venv
  if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/requirements.txt"
  fi
  "$venv/bin/python" "$here/make.py" "$data" >&2
fi

exec python3 "$here/protocols.py" "$data" --portend "$target/release/portend" \
  --grpc-load "$target/release/examples/grpc_load" "$@"
