//! The door: events come in over HTTP and go to the log (`POST /v1/events`, `POST /v1/events/batch`).
//!
//! Clients send here; it tells the log, and the client only once the log has acknowledged (G1). It owns no
//! state but the buckets of [`rate`]. If the process dies, a client without an answer sends again under the same
//! event id, which counts once.
//!
//! `body` reads and decompresses -> `split` finds the events -> `event` checks one and writes its envelope ->
//! `prepare` puts records and answer together -> `handlers` appends. All but the first and the last are pure.

pub mod accepted;
pub mod answer;
mod body;
pub mod clock;
mod document;
mod event;
pub mod handlers;
pub mod limits;
mod prepare;
pub mod rate;
mod split;
mod trace;

use crate::auth::Keys;
use crate::error::Problem;
use crate::metrics::events_accepted;
use crate::producer::LogWriter;
use accepted::Accepted;
use actix_web::web::{self, ServiceConfig};
use rate::EventRate;
use schema::instrument::Counter;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use utoipa::OpenApi;

/// Large requests that are prepared at once, on threads of their own. More would not be faster on most machines,
/// and each may need some MiB.
const LARGE_AT_ONCE: usize = 4;

/// KiB of large bodies that are held at once, so that many at a time cannot take all memory.
const ROOM_KIB: usize = 128 * 1_024;
/// A large body waits so long for others to be done.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// Seconds after which the client of a large body that found no room may come again.
const ROOM_AGAIN: u64 = 5;

/// The section of the environment that sets the door up; with envy's prefix `SIGNALS_`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct IngestConfig {
    /// `SIGNALS_INGEST_RATE`: events a second and key; as many as come if unset.
    #[serde(default)]
    pub ingest_rate: Option<NonZeroU32>,
}

/// What the routes need. Clones share all of it.
#[derive(Clone, Debug)]
pub struct IngestState {
    keys: Keys,
    log: LogWriter,
    accepted: Accepted,
    rate: Option<EventRate>,
    large: Arc<Semaphore>,
    room: Arc<Semaphore>,
    acknowledged: Counter,
}

impl IngestState {
    /// Of the parts that `run.rs` makes.
    pub fn new(keys: Keys, log: LogWriter, accepted: Accepted, config: &IngestConfig) -> Self {
        let rate = config.ingest_rate.map(EventRate::per_second);
        let large = Arc::new(Semaphore::new(LARGE_AT_ONCE));
        let room = Arc::new(Semaphore::new(ROOM_KIB));
        Self { keys, log, accepted, rate, large, room, acknowledged: events_accepted() }
    }

    /// Room for a body of so many bytes, as long as the value lives.
    ///
    /// # Errors
    /// 503 `busy` if there is none within [`ROOM_WITHIN`].
    async fn room_for(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Problem> {
        let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
        match timeout(ROOM_WITHIN, self.room.acquire_many(kib)).await {
            Ok(room) => room.map_err(Problem::internal),
            Err(_) => Err(Problem::unavailable("busy", "too many large bodies are being taken in", ROOM_AGAIN)),
        }
    }
}

/// The description of the routes, for one OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(paths(handlers::post_events, handlers::post_batch))]
pub struct IngestApi;

/// Adds the routes to a server. Wrap it with [`crate::request_id`] and [`crate::error::problem_defaults`].
pub fn routes(state: IngestState) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(state))
            .service(web::resource("/v1/events").route(web::post().to(handlers::post_events)))
            .service(web::resource("/v1/events/batch").route(web::post().to(handlers::post_batch)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither the keys nor the log are there.
    fn state() -> IngestState {
        let database = schema::database::pool(&schema::database::DatabaseConfig::at("postgres://nowhere"), 1).unwrap();
        let log = LogWriter::new(rdkafka::ClientConfig::new(), "t").unwrap();
        IngestState::new(Keys::new(database), log, Accepted::default(), &IngestConfig::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_without_room_is_refused_after_a_wait_and_has_room_when_another_is_done() {
        let state = state();
        let mut held = Vec::new();
        for _ in 0..32 {
            held.push(state.room_for(limits::BODY_BYTES).await.unwrap());
        }
        let refused = state.room_for(body::SMALL_BYTES + 1).await.unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.code), (503, "busy"));
        held.pop();
        drop(state.room_for(limits::BODY_BYTES).await.unwrap());
    }

    #[test]
    fn the_description_names_both_routes_and_every_refusal() {
        let described = serde_json::to_value(IngestApi::openapi()).unwrap();
        for path in ["/v1/events", "/v1/events/batch"] {
            let answers = described["paths"][path]["post"]["responses"].as_object().unwrap();
            let mut statuses: Vec<&str> = answers.keys().map(String::as_str).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, ["202", "400", "401", "403", "408", "413", "415", "422", "429", "503"], "{path}");
        }
        let types = &described["components"]["schemas"]["EventTypeName"]["enum"];
        let names: Vec<&str> = schema::event::EventType::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(types, &serde_json::json!(names));
        let severities = &described["components"]["schemas"]["SeverityName"]["enum"];
        let names: Vec<&str> = schema::event::Severity::ALL.iter().map(|severity| severity.as_str()).collect();
        assert_eq!(severities, &serde_json::json!(names));
    }
}
