#!/usr/bin/env bash
# A real Kafka, a real PostgreSQL and a real OpenSearch for the tests, on free ports of loopback.
#   eval "$(infra/test-services.sh up DIR)"     starts them and prints the variables that the tests read
#   infra/test-services.sh down DIR             stops them
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mkdir -p "${2:-.services}" && cd "${2:-.services}" && pwd)
free_port() { # a port whose successor is free too: Kafka's controller and OpenSearch's transport take that one
  local port
  for port in $(shuf -i 20000-29998 -n 50); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port found" >&2; return 1
}
case ${1:-} in
  up)
    [[ -s $dir/ports ]] || echo "$(free_port) $(free_port) $(free_port)" > "$dir/ports"
    read -r kafka postgres opensearch < "$dir/ports"
    # A folder of an earlier version knows no port for it.
    [[ -n ${opensearch:-} ]] || { opensearch=$(free_port); echo "$kafka $postgres $opensearch" > "$dir/ports"; }
    KAFKA_PORT=$kafka "$here/start-kafka.sh" "$dir/kafka" >&2
    POSTGRES_PORT=$postgres "$here/start-postgres.sh" "$dir/postgres" >&2
    OPENSEARCH_PORT=$opensearch OPENSEARCH_TRANSPORT_PORT=$((opensearch + 1)) "$here/start-opensearch.sh" "$dir/opensearch" >&2
    echo "export KAFKA_BROKERS=127.0.0.1:$kafka DATABASE_URL=postgres://postgres@127.0.0.1:$postgres/postgres"
    # Tests that kill a server of their own unpack it once more without the last one.
    echo "export OPENSEARCH_URL=http://127.0.0.1:$opensearch OPENSEARCH_DIST=${OPENSEARCH_DIST:-$dir/opensearch/dist}" ;;
  down)
    failed=0
    for server in kafka postgres opensearch; do
      [[ ! -d $dir/$server ]] || "$here/stop-$server.sh" "$dir/$server" || failed=1
    done
    exit $failed ;;
  *) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
esac
