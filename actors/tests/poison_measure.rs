//! How fast a partition drains when one record in a hundred kills its actor, beside the same records without poison:
//! `cargo test -p actors --release --test poison_measure -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::as_conversions, clippy::print_stdout)]

mod rig;

use actors::config::EngineConfig;
use actors::failpoint::POISON;
use actors::router::quarantine::QuarantinePolicy;
use rig::Rig;
use std::time::Instant;

const RECORDS: usize = 200_000;
const PROJECT: &str = "proj_measured";

fn event(number: usize, poison: bool) -> (String, String) {
    let at = "2026-11-24T05:00:00.000Z";
    let is_poison = number.is_multiple_of(100);
    let (fingerprint, message) =
        if is_poison { (0, if poison { POISON } else { "fine" }) } else { (1 + number % 200, "fine") };
    let event = format!(
        r#"{{"schema_version":"1.0","event_id":"e{number}","occurred_at":"{at}","received_at":"{at}","org_id":"org",
        "project_id":"{PROJECT}","environment":"prod","event_type":"error","severity":"error","message":"{message}",
        "fingerprint":"{fingerprint:064x}","attributes":{{}},"payload":{{}}}}"#
    );
    (PROJECT.to_owned(), event)
}

/// Records per second from the engine's start until all are handled durably.
async fn rate(poison: bool, quarantine: QuarantinePolicy) -> f64 {
    let rig = Rig::new().await;
    for from in (0..RECORDS).step_by(50_000) {
        rig.send_records((from..from + 50_000).map(|number| event(number, poison))).await;
    }
    // The group's first assignment is not part of the drain.
    let engine = rig.engine_with(EngineConfig { batch_records: 2_000, quarantine, ..rig.config() }).await;
    rig.wait_for("SELECT (coalesce(sum(events), 0) > 0)::int::bigint AS n FROM ledger", 1).await;
    let handled = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger";
    let (began, first) = (Instant::now(), rig.sum(handled).await);
    rig.wait_for(handled, RECORDS as i64).await;
    let rate = (RECORDS as f64 - first as f64) / began.elapsed().as_secs_f64();
    engine.stop().await;
    rate
}

#[actix::test]
#[ignore = "a measurement: it takes a minute and asserts nothing about speed"]
async fn drain_with_one_poison_in_a_hundred() {
    actors::failpoint::arm();
    let never = QuarantinePolicy { records: usize::MAX, ..QuarantinePolicy::default() };
    let clean = rate(false, never).await;
    for (name, policy) in [("never quarantined", never), ("quarantined after five", QuarantinePolicy::default())] {
        let poisoned = rate(true, policy).await;
        println!("{name}: {poisoned:.0}/s, {:.0} % of the clean {clean:.0}/s", 100.0 * poisoned / clean);
    }
}
