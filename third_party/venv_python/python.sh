#!/bin/sh
# Runs the Python of the .venv that lies beside this file's real place: Bazel
# sees a link to it, deep in its own folders.
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
if ! [ -x "$root/.venv/bin/python" ]; then
  echo "no Python at $root/.venv/bin/python: run 'make .venv' first" >&2
  exit 1
fi
exec "$root/.venv/bin/python" "$@"
