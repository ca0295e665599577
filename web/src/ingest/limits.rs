//! How much a client may send. Every bound of the ingest API stands here.

use std::time::Duration;

/// An event, in bytes of JSON.
pub const EVENT_BYTES: usize = 256 * 1_024;
/// A request's body, in bytes, as it comes and after decompression.
pub const BODY_BYTES: usize = 4 * 1_024 * 1_024;
/// Events in one request.
pub const BATCH_EVENTS: usize = 1_000;
/// Of a longer message only so many bytes are kept, cut between characters.
pub const MESSAGE_BYTES: usize = 8 * 1_024;
/// Levels of objects and lists in `attributes`, the outermost included.
pub const ATTRIBUTES_DEPTH: usize = 8;
/// Levels in `payload`: more than anyone needs, fewer than the parsers behind us can take.
pub const PAYLOAD_DEPTH: usize = 32;
/// `event_id`, in visible ASCII characters.
pub const EVENT_ID_CHARS: usize = 128;
/// `environment`, in letters, digits, `.`, `_`, `-` and `:`.
pub const ENVIRONMENT_CHARS: usize = 64;
/// `attributes.error_code`, in bytes.
pub const ERROR_CODE_BYTES: usize = 256;
/// `attributes.route`, in bytes.
pub const ROUTE_BYTES: usize = 8 * 1_024;
/// Parts of `attributes.fingerprint`, each at most [`ERROR_CODE_BYTES`] long.
pub const FINGERPRINT_PARTS: usize = 32;
/// First year of `occurred_at`.
pub const FIRST_YEAR: i32 = 2000;
/// `occurred_at` may be so much later than `received_at`: clocks differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// A client has so long to send its body.
pub const BODY_WITHIN: Duration = Duration::from_secs(30);
