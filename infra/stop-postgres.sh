#!/usr/bin/env bash
# Stops the server that start-postgres.sh started in TARGET_DIR (default .postgres); its data stays.
set -euo pipefail
# A process that has ended but that nobody has reaped still answers to kill -0.
alive() { [[ -e /proc/$1 ]] && [[ $(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) != Z ]]; }
dir=${1:-.postgres}
[[ -s $dir/data/postmaster.pid ]] || exit 0
pid=$(head -n 1 "$dir/data/postmaster.pid")
alive "$pid" && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -q postgres || exit 0
kill -INT "$pid"
for _ in {1..100}; do alive "$pid" || exit 0; sleep 0.1; done
echo "postgres $pid does not stop" >&2; exit 1
