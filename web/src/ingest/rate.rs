//! How many events a second one key may send.

use crate::auth::Principal;
use crate::error::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::limits::BATCH_EVENTS;

/// One bucket a key; full at first. Clones share the buckets.
#[derive(Clone)]
pub struct EventRate {
    limiter: Arc<DefaultKeyedRateLimiter<String>>,
    clock: DefaultClock,
}

impl EventRate {
    /// So many events a second, in the long run. At once a key may send that many or a whole batch, whichever is more.
    pub fn per_second(events: NonZeroU32) -> Self {
        let batch = u32::try_from(BATCH_EVENTS).ok().and_then(NonZeroU32::new).unwrap_or(events);
        let quota = Quota::per_second(events).allow_burst(events.max(batch));
        Self { limiter: Arc::new(RateLimiter::keyed(quota)), clock: DefaultClock::default() }
    }

    /// Takes so many events out of the key's bucket, or none of them.
    ///
    /// # Errors
    /// 429 with the seconds until there is room.
    pub fn take(&self, principal: &Principal, events: u32) -> Result<(), Problem> {
        let Some(events) = NonZeroU32::new(events) else { return Ok(()) };
        match self.limiter.check_key_n(&principal.key_id, events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(self.clock.now());
                Err(Problem::rate_limited(wait.as_secs().saturating_add(1)))
            }
            // More than the bucket holds; no request that the form allows is so large.
            Err(_) => Err(Problem::rate_limited(1)),
        }
    }
}

impl fmt::Debug for EventRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRate").field("keys", &self.limiter.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(key_id: &str) -> Principal {
        Principal { key_id: key_id.into(), org_id: "o".into(), project_id: "p".into(), scopes: Vec::new() }
    }

    #[test]
    fn a_key_that_spent_its_bucket_is_told_when_to_come_back_and_others_are_not() {
        let rate = EventRate::per_second(NonZeroU32::MIN);
        let (one, other) = (principal("one"), principal("other"));
        assert_eq!(rate.take(&one, 1_000), Ok(()), "a whole batch fits");
        let problem = rate.take(&one, 10).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code), (429, "rate_limited"));
        assert!((9..=11).contains(&problem.retry_after.unwrap()), "{:?}", problem.retry_after);
        assert_eq!(rate.take(&other, 1), Ok(()));
    }
}
