#!/usr/bin/env bash
# Stops the server that start-postgres.sh started in TARGET_DIR (default .postgres); its data stays.
set -euo pipefail
dir=${1:-.postgres}
[[ -s $dir/data/postmaster.pid ]] || exit 0
pid=$(head -n 1 "$dir/data/postmaster.pid")
tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -q postgres || exit 0
kill -INT "$pid"
for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.1; done
echo "postgres $pid does not stop" >&2; exit 1
