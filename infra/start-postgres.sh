#!/usr/bin/env bash
# Starts one real, installed PostgreSQL (15 or newer) on loopback, and waits until it answers. As root it runs as the
# user postgres. Run it again: it does nothing.
#   start-postgres.sh [TARGET_DIR]     default .postgres
#   POSTGRES_PORT=5432  POSTGRES_BIN=folder of initdb and pg_ctl
set -euo pipefail
dir=$(mkdir -p "${1:-.postgres}" && cd "${1:-.postgres}" && pwd)
port=${POSTGRES_PORT:-5432}
bin=${POSTGRES_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[[ -x ${bin:-}/initdb ]] || { echo "no installed PostgreSQL found; set POSTGRES_BIN" >&2; exit 2; }
as() { if [[ $(id -u) = 0 ]]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi; }
[[ $(id -u) != 0 ]] || chown postgres:postgres "$dir"
cd "$dir"
pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null || true)
if [[ -n $pid ]] && as "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; then
  # A killed server that nobody has reaped counts as alive to pg_ctl, and to the next server.
  if [[ $(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) != Z ]]; then
    echo "postgres already up on 127.0.0.1:$port"; exit 0
  fi
  rm -f "$dir/data/postmaster.pid"
fi
if [[ ! -f $dir/data/PG_VERSION ]]; then
  as "$bin/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C --auth=trust >"$dir/initdb.log"
fi
# A client that connects while the server is stopped, and says nothing, holds the stop up for that long.
start() {
  as "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 -o \
    "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200 -c shared_buffers=128MB -c max_wal_size=2GB -c authentication_timeout=4" \
    start >/dev/null
}
# After a kill -9 the children of the old server need a moment to let its shared memory go.
start || { sleep 2; start; } || { tail -n 20 "$dir/server.log" >&2; exit 1; }
echo "postgres up on 127.0.0.1:$port, pid $(head -n 1 "$dir/data/postmaster.pid")"
