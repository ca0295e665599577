# Start everything on embedded servers.
run:
    cargo run --release
# A real Kafka and a real PostgreSQL for the tests.
up:
    infra/test-services.sh up .services
down:
    infra/test-services.sh down .services
fmt:
    cargo fmt --all
lint:
    cargo clippy --workspace --all-targets -- -D warnings
# Everything, on the servers of `just up` (which it starts if need be).
test:
    eval "$(infra/test-services.sh up .services)" && cargo test --workspace
# Only what needs the real servers.
test-live:
    eval "$(infra/test-services.sh up .services)" && cargo test --workspace --test '*_live' --test 'flush'
# Five minutes of faults under load; `SIGNALS_TEST_SEED=n just chaos` repeats a run.
chaos:
    SIGNALS_CHAOS_SECONDS="${SIGNALS_CHAOS_SECONDS:-300}" cargo test -p web --test processes chaos -- --nocapture
bench:
    eval "$(infra/test-services.sh up .services)" && cargo bench -p benches
migrate:
    cargo run -- migrate
