#!/usr/bin/env bash
# A real Kafka and a real PostgreSQL for the tests, on free ports of loopback.
#   eval "$(infra/test-services.sh up DIR)"     starts them and prints the variables that the tests read
#   infra/test-services.sh down DIR             stops them
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mkdir -p "${2:-.services}" && cd "${2:-.services}" && pwd)
free_port() { # a port whose successor is free too: Kafka's controller takes that one
  local port
  for port in $(shuf -i 20000-29998 -n 50); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port found" >&2; return 1
}
case ${1:-} in
  up)
    [[ -s $dir/ports ]] || echo "$(free_port) $(free_port)" > "$dir/ports"
    read -r kafka postgres < "$dir/ports"
    KAFKA_PORT=$kafka "$here/start-kafka.sh" "$dir/kafka" >&2
    POSTGRES_PORT=$postgres "$here/start-postgres.sh" "$dir/postgres" >&2
    echo "export KAFKA_BROKERS=127.0.0.1:$kafka DATABASE_URL=postgres://postgres@127.0.0.1:$postgres/postgres" ;;
  down) "$here/stop-kafka.sh" "$dir/kafka"; "$here/stop-postgres.sh" "$dir/postgres" ;;
  *) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
esac
