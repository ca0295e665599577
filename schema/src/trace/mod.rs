//! Whose trace a request or a record belongs to: W3C `traceparent`, on HTTP and in the log.

pub mod spans;

use std::fmt;
use std::str::FromStr;

/// Bytes of version 00; a later version may append to them.
const LENGTH: usize = 55;
/// Longest text that is looked at.
const LONGEST: usize = 256;

/// The caller's place in its trace. Displayed as version 00, without flags that we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span within it; never 0.
    pub span_id: u64,
    /// Whether the caller records this trace.
    pub is_sampled: bool,
}

/// A text that is no `traceparent`; to be treated as if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no traceparent")]
pub struct NoTraceParent;

impl TraceParent {
    /// The trace as 32 hex digits.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// From the bytes of a header.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        parse(text).ok_or(NoTraceParent)
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let (head, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = head.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace_id = hex(parts.next()?, 32)?;
    let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
    let flags = hex(parts.next()?, 2)?;
    let is_whole = rest.is_empty() || (version > 0 && rest.starts_with('-'));
    let is_sane = version != 0xff && trace_id != 0 && span_id != 0 && is_whole && parts.next().is_none();
    is_sane.then_some(TraceParent { trace_id, span_id, is_sampled: flags & 1 == 1 })
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_lower_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && is_lower_hex).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_allows_is_read_and_nothing_else() {
        let parent: TraceParent = GOOD.parse().unwrap();
        assert_eq!((parent.trace(), parent.is_sampled), ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), true));
        assert_eq!(parent.to_string(), GOOD);
        let later = GOOD.replacen("00-", "cc-", 1);
        for fine in [later.clone(), format!("{later}-what-the-future-is"), GOOD.replace("-01", "-03")] {
            assert_eq!(fine.parse(), Ok(parent), "{fine}");
        }
        assert!(!GOOD.replace("-01", "-02").parse::<TraceParent>().unwrap().is_sampled);
        for bad in [
            String::new(),
            format!("{GOOD}-more"),
            format!("{later}more"),
            GOOD.to_uppercase(),
            GOOD.replacen("00-", "ff-", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-1"),
            GOOD.replace('-', "+"),
            "é".repeat(40),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NoTraceParent), "{bad}");
        }
        assert_eq!(TraceParent::from_bytes(GOOD.as_bytes()), Some(parent));
        assert_eq!(TraceParent::from_bytes(format!("{later}-{}", "x".repeat(LONGEST)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parent) = TraceParent::from_bytes(&bytes) {
                prop_assert_eq!(parent.to_string().parse(), Ok(parent));
            }
        }
    }
}
