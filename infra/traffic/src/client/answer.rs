//! What an answer of ingest means for the events that were sent. Pure.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Why an attempt has to be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// 429.
    RateLimited,
    /// 503.
    Unavailable,
    /// Any other status of 500 or above, or 408.
    ServerError,
    /// The server could not be reached.
    Unreachable,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// No answer in time.
    TimedOut,
    /// 202 with a body that does not say what was accepted.
    UnreadableAnswer,
}

impl Cause {
    /// For the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "429 rate limited",
            Self::Unavailable => "503 unavailable",
            Self::ServerError => "server error",
            Self::Unreachable => "unreachable",
            Self::ConnectionLost => "connection lost",
            Self::TimedOut => "timed out",
            Self::UnreadableAnswer => "unreadable answer",
        }
    }

    /// Whether the events may have been taken in although no acknowledgement came. Only what never reached the
    /// server, or was turned away before it was read, certainly was not.
    pub(super) const fn may_have_arrived(self) -> bool {
        !matches!(self, Self::RateLimited | Self::Unreachable)
    }
}

/// An answer, or the lack of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Acknowledged.
    Accepted {
        /// But for these items (index and code), which are refused for good.
        rejected: BTreeMap<usize, String>,
        /// When the others were received, by the server's clock.
        received_at: DateTime<Utc>,
    },
    /// Refused as a whole.
    Refused {
        /// `code` of the problem, else `http_<status>`.
        code: String,
        /// Whether any earlier attempt must have been refused alike, because it depends on the bytes alone.
        by_content: bool,
        /// Why nothing else needs to be tried either: a key that is not good.
        stop: Option<String>,
    },
    /// To be sent again.
    Again {
        /// Why.
        cause: Cause,
        /// What the server asked for.
        retry_after: Option<Duration>,
    },
}

impl Answer {
    pub(super) const fn again(cause: Cause) -> Self {
        Self::Again { cause, retry_after: None }
    }
}

#[derive(Deserialize)]
struct Accepted {
    accepted: bool,
    received_at: DateTime<Utc>,
    /// Missing in the answer to a single event.
    count: Option<usize>,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    code: String,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

/// Reads an answer to `sent` events.
pub(super) fn read(status: u16, retry_after: Option<&str>, body: &[u8], sent: usize) -> Answer {
    let retry_after = retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    match status {
        202 => read_accepted(body, sent).unwrap_or(Answer::again(Cause::UnreadableAnswer)),
        429 => Answer::Again { cause: Cause::RateLimited, retry_after },
        503 => Answer::Again { cause: Cause::Unavailable, retry_after },
        408 | 500.. => Answer::Again { cause: Cause::ServerError, retry_after },
        _ => refused(status, body),
    }
}

/// The acknowledgement, if it accounts for every event that was sent.
fn read_accepted(body: &[u8], sent: usize) -> Option<Answer> {
    let answer: Accepted = serde_json::from_slice(body).ok()?;
    let rejected: BTreeMap<_, _> = answer.rejected.into_iter().map(|item| (item.index, item.code)).collect();
    let is_known = rejected.keys().all(|index| *index < sent);
    let accounted = answer.count.unwrap_or(1).checked_add(rejected.len())?;
    let is_whole = answer.accepted && is_known && accounted == sent;
    is_whole.then_some(Answer::Accepted { rejected, received_at: answer.received_at })
}

fn refused(status: u16, body: &[u8]) -> Answer {
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let stop = matches!(status, 401 | 403).then(|| {
        let detail = problem.as_ref().map(|problem| problem.detail.as_str()).filter(|detail| !detail.is_empty());
        format!("the server refused the API key ({status}): {}", detail.unwrap_or("no reason given"))
    });
    Answer::Refused {
        code: problem.map_or_else(|| format!("http_{status}"), |problem| problem.code),
        by_content: matches!(status, 400 | 413 | 415 | 422),
        stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(items: &[(usize, &str)]) -> Answer {
        let rejected = items.iter().map(|(index, code)| (*index, (*code).to_owned())).collect();
        Answer::Accepted { rejected, received_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn an_acknowledgement_accounts_for_every_event() {
        let read = |body: &str, sent| read(202, None, body.as_bytes(), sent);
        assert_eq!(read(r#"{"accepted":true,"event_id":"a","received_at":"1970-01-01T00:00:00Z"}"#, 1), accepted(&[]));
        let rejected = r#"[{"index":1,"code":"invalid","detail":"x"}]"#;
        let batch =
            format!(r#"{{"accepted":true,"received_at":"1970-01-01T00:00:00Z","count":2,"rejected":{rejected}}}"#);
        assert_eq!(read(&batch, 3), accepted(&[(1, "invalid")]));
        let unreadable = Answer::again(Cause::UnreadableAnswer);
        assert_eq!(read(&batch, 4), unreadable, "an event is missing");
        assert_eq!(read(&batch, 1), unreadable, "an index is out of range");
        assert_eq!(read(r#"{"accepted":false}"#, 1), unreadable);
        assert_eq!(read("<html>", 1), unreadable);
    }

    #[test]
    fn refusals_name_their_code_and_whether_they_depend_on_the_bytes_alone() {
        let read = |status, body: &str| read(status, None, body.as_bytes(), 1);
        let invalid = Answer::Refused { code: "invalid".into(), by_content: true, stop: None };
        assert_eq!(read(422, r#"{"code":"invalid","detail":"x"}"#), invalid);
        let not_found = Answer::Refused { code: "http_404".into(), by_content: false, stop: None };
        assert_eq!(read(404, "<html>"), not_found);
        let Answer::Refused { stop: Some(reason), by_content: false, .. } =
            read(401, r#"{"code":"unknown_key","detail":"this key is not known"}"#)
        else {
            panic!("a refused key ends the run")
        };
        assert_eq!(reason, "the server refused the API key (401): this key is not known");
    }

    #[test]
    fn what_may_be_sent_again_says_when() {
        let again = |status, after| read(status, after, b"", 1);
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(again(429, Some("3")), Answer::Again { cause: Cause::RateLimited, retry_after: seconds(3) });
        assert_eq!(again(503, Some(" 1 ")), Answer::Again { cause: Cause::Unavailable, retry_after: seconds(1) });
        assert_eq!(again(503, Some("Wed, 21 Oct")), Answer::again(Cause::Unavailable));
        assert_eq!(again(500, None), Answer::again(Cause::ServerError));
        assert_eq!(again(504, None), Answer::again(Cause::ServerError));
    }

    #[test]
    fn only_what_never_arrived_certainly_did_not() {
        assert!(!Cause::Unreachable.may_have_arrived() && !Cause::RateLimited.may_have_arrived());
        for cause in [Cause::Unavailable, Cause::ConnectionLost, Cause::TimedOut, Cause::ServerError] {
            assert!(cause.may_have_arrived(), "{cause:?}");
        }
    }
}
