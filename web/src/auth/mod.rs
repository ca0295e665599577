//! Who speaks, and whether he may: API keys in `X-API-Key` or `Authorization: Bearer`.
//!
//! Every handler asks [`Keys::authorize`]. A key that is in use is known in memory; its state is read again every
//! [`cache::REFRESH`] in one query for all, so a revocation is effective within 5 s and no request waits for the
//! database. While the database is away the keys that are known go on being served for
//! [`cache::OUTAGE_GRACE`]; an unknown one is told to come back, never that it is wrong.

mod cache;
mod keeper;

use crate::error::Problem;
use actix_web::HttpRequest;
use actix_web::http::header;
use cache::{Cache, Refusal, Verdict};
use schema::database::Database;
use schema::keys::{Scope, digest_key};
use std::sync::Arc;

/// A presented key longer than this, in bytes, is not even hashed.
const LONGEST_KEY: usize = 512;
/// Seconds after which a client may ask again when the database is away.
const COME_BACK: u64 = 2;

/// On whose behalf a request is served. A key speaks for exactly one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Id of the key, not the key.
    pub key_id: String,
    /// Owner of the project.
    pub org_id: String,
    /// The project.
    pub project_id: String,
    /// What the key may do.
    pub scopes: Vec<Scope>,
}

/// The keys. Clones share one memory.
#[derive(Clone, Debug)]
pub struct Keys {
    cache: Arc<Cache>,
}

impl Keys {
    /// Starts with an empty memory. Call it inside a tokio runtime that lives as long as the value: a task there
    /// keeps the memory true and notes when keys were last used.
    pub fn new(database: Database) -> Self {
        let cache = Arc::new(Cache::new(database));
        tokio::spawn(keeper::keep(Arc::downgrade(&cache)));
        Self { cache }
    }

    /// Notes which keys were used since that was last noted: for the end, when the task in the background will not any more.
    pub async fn note_used(&self) {
        if let Err(error) = self.cache.note_used().await {
            tracing::warn!(%error, "when API keys were last used could not be noted");
        }
    }

    /// The principal whose key the request carries, if that key may do `scope`.
    ///
    /// # Errors
    /// 401 `missing_key`, `unknown_key` or `revoked_key`; 403 `missing_scope`; 503 `keys_unavailable` if the key is
    /// not known here and the database does not answer.
    pub async fn authorize(&self, request: &HttpRequest, scope: Scope) -> Result<Arc<Principal>, Problem> {
        let key = presented(request).ok_or_else(|| {
            Problem::unauthorized("missing_key", "send your API key in the header X-API-Key or as a bearer token")
        })?;
        if key.len() > LONGEST_KEY {
            return Err(Refusal::Unknown.into());
        }
        let principal = match self.cache.find(digest_key(key)).await {
            Some(Verdict::Known(principal)) => principal,
            Some(Verdict::Refused(refusal)) => return Err(refusal.into()),
            None => {
                return Err(Problem::unavailable("keys_unavailable", "API keys cannot be checked now", COME_BACK));
            }
        };
        if principal.scopes.contains(&scope) { Ok(principal) } else { Err(Problem::missing_scope(scope.as_str())) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::unauthorized("unknown_key", "this API key is not known"),
            Refusal::Revoked => Self::unauthorized("revoked_key", "this API key has been revoked"),
        }
    }
}

/// The key as it was sent; none if there is none or it is empty. One that is no text belongs to nobody.
fn presented(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers();
    let key = match headers.get("x-api-key") {
        Some(value) => std::str::from_utf8(value.as_bytes()).map_or("\u{fffd}", str::trim),
        None => {
            let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())?
        }
    };
    (!key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_key_is_read_from_either_header_and_its_own_header_wins() {
        let read = |headers: &[(&str, &str)]| {
            let mut request = TestRequest::default();
            for pair in headers {
                request = request.insert_header(*pair);
            }
            presented(&request.to_http_request()).map(str::to_owned)
        };
        assert_eq!(read(&[("x-api-key", " a ")]).as_deref(), Some("a"));
        assert_eq!(read(&[("authorization", "Bearer b")]).as_deref(), Some("b"));
        assert_eq!(read(&[("authorization", "bearer  b ")]).as_deref(), Some("b"));
        assert_eq!(read(&[("authorization", "Bearer b"), ("x-api-key", "a")]).as_deref(), Some("a"));
        for none in [&[][..], &[("x-api-key", "")], &[("authorization", "Basic b")], &[("authorization", "Bearer")]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
