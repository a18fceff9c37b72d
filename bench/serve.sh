#!/usr/bin/env bash
# Prepares what the serving benchmark needs, then runs bench/serve.py.
#
#   bench/serve.sh PORTEND_BINARY EMPTY_AXUM_BINARY [serve.py options]
#
# "-" for a binary leaves that server out. Environment: BENCH_SECONDS, BENCH_OUT (see serve.py),
# PORTEND_CACHE for the virtual environment and the inputs, BENCH_DATA for inputs elsewhere; both outside the checkout.
set -euo pipefail

if (($# < 2)); then
  echo "usage: bench/serve.sh PORTEND_BINARY EMPTY_AXUM_BINARY [serve.py options]" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PORTEND_CACHE:-$HOME/.cache/portend}
data=${BENCH_DATA:-$cache/bench}
venv=$cache/bench-venv

servers=()
[[ $1 == - ]] || servers+=(--portend "$1")
[[ $2 == - ]] || servers+=(--axum "$2")
shift 2

missing=()
for tool in wrk curl; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
  { apt-get update -q && apt-get install -y -q "${missing[@]}"; } >&2
fi

# The copy of the pins, made last, says that the environment is whole and which pins it has.
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  mkdir -p "$(dirname "$venv")"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$venv/requirements.txt"
fi

[[ -e $data/made.json ]] || "$venv/bin/python" "$here/make.py" "$data" >&2

# exec, so that a signal to this process reaches the one that ends the servers.
exec "$venv/bin/python" "$here/serve.py" "$data" "${servers[@]}" "$@"
