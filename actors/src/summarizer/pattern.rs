//! Regular expressions that stand in the source.

use regex::Regex;

/// Compiles a constant expression. The engine takes linear time whatever it is given.
#[expect(
    clippy::expect_used,
    reason = "the expressions are constants, and a test of each room compiles all of its own"
)]
pub(super) fn pattern(expression: &str) -> Regex {
    Regex::new(expression).expect("a constant regular expression")
}
