//! Whether the engine of this process lives and works.

use crate::health::Probes;
use actors::supervision::indexing::IndexObserver;
use actors::supervision::observer::Observer;

/// Adds the probe of readiness `engine` and those of liveness, `poll_thread` and `arbiters`.
#[must_use]
pub fn probes(probes: Probes, observer: &Observer) -> Probes {
    let (engine, poll_thread, arbiters) = (observer.clone(), observer.clone(), observer.clone());
    probes
        .add("engine", move || std::future::ready(engine.readiness().map(Some)))
        .add_liveness("poll_thread", move || std::future::ready(poll_thread.poll_thread().map(Some)))
        .add_liveness("arbiters", move || {
            let observer = arbiters.clone();
            async move { observer.arbiters().await.map(Some) }
        })
}

/// Adds the probe of liveness `index_poll_thread`. Whether the search server answers is no question of readiness: without it
/// events are taken in and counted all the same.
#[must_use]
pub fn index_probes(probes: Probes, observer: &IndexObserver) -> Probes {
    let observer = observer.clone();
    probes.add_liveness("index_poll_thread", move || std::future::ready(observer.poll_thread().map(Some)))
}
