//! Who hands out memory, to us and to the C libraries beside us.
//!
//! Records are allocated on one thread and freed on another, and an incident's memory is small and lives long between much
//! that is large and soon gone. glibc's malloc takes a fifth more CPU for a drain of many fingerprints, and keeps nearly
//! twice the memory after it (benches/README.md).

// Under test this crate stands beside itself, and a program has one allocator.
#[cfg(not(any(test, target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
