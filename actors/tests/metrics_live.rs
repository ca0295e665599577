//! What breaks is counted: deaths, dead letters, and the flushes that a new owner's fence refuses.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rig;

use actors::failpoint::{POISON, PROJECT_POISON};
use metrics_exporter_prometheus::PrometheusBuilder;
use rig::{BURIED, COUNTED, Rig, event, project};

#[actix::test]
async fn deaths_dead_letters_and_tenures_that_begin_anew_are_counted() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let figure = |start: &str| -> f64 {
        let text = metrics.render();
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    let records = (0..100usize).map(|number| match number {
        7 | 50 => (project(number), event(number, POISON)),
        11 => (project(number), event(number, PROJECT_POISON)),
        number => (project(number), event(number, "fine")),
    });
    rig.send_records(records).await;
    rig.wait_for(BURIED, 3).await;
    rig.wait_for(COUNTED, 97).await;
    // Each record kills twice before it is given up; the router may notice a death late, and then once more.
    assert!(figure(r#"signals_restarts_total{kind="incident",reason="panicked"}"#) >= 4.0);
    assert!(figure(r#"signals_restarts_total{kind="project",reason="panicked"}"#) >= 2.0);
    assert_eq!(figure(r#"signals_dead_letters_total{stage="incident"}"#), 2.0);
    assert_eq!(figure(r#"signals_dead_letters_total{stage="project"}"#), 1.0);
    assert_eq!(figure(r#"signals_events_settled_total{outcome="counted"}"#), 97.0);
    assert_eq!(figure(r#"signals_events_settled_total{outcome="dead_lettered"}"#), 3.0);

    // Somebody else claims every partition: the next flush of each is refused, and its tenure begins anew.
    for partition in 0..rig::PARTITIONS {
        let mut connection = rig.database.as_ref().unwrap().connect().await;
        schema::checkpoint::claim(&mut connection, &rig.config().group, &rig.topic, partition).await.unwrap();
    }
    rig.send_records((100..200).map(|number| (project(number), event(number, "fine")))).await;
    rig.wait_for(COUNTED, 197).await;
    let refused = figure("signals_flushes_refused_total");
    assert!(refused >= 1.0);
    assert_eq!(figure(r#"signals_restarts_total{kind="tenure",reason="revoked"}"#), refused);
    engine.stop().await;
}
