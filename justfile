up:
    infra/test-services.sh up .services
down:
    infra/test-services.sh down .services
fmt:
    cargo fmt --all
lint:
    cargo clippy --workspace --all-targets -- -D warnings
test:
    eval "$(infra/test-services.sh up .services)" && cargo test --workspace
migrate:
    cargo run -- migrate
