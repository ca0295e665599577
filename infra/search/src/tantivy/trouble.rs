//! What can go wrong inside the process, and what of it may be tried again.

use schema::search::SearchError;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tantivy::TantivyError;

/// Why a day's index did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Tantivy's own, among them damaged files.
    #[error(transparent)]
    Tantivy(#[from] TantivyError),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// A file holds what tantivy did not expect.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// The time for one search is over.
    #[error("the search took too long and was stopped")]
    Late,
    /// What is there cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl From<Trouble> for SearchError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Late | Trouble::File(_) | Trouble::Tantivy(TantivyError::IoError(_)) => {
                Self::Unavailable(trouble.to_string())
            }
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Does `what`; a panic inside, which damaged files can cause, becomes an error.
pub(super) fn guarded<T>(what: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    // Whatever `what` was changing is thrown away by the callers after an error.
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|payload| Err(Trouble::Panicked(words(payload.as_ref()))))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        let trouble = guarded::<()>(|| panic!("offset {} of 3", 7)).err().map(|trouble| trouble.to_string());
        assert_eq!(trouble.as_deref(), Some("it panicked: offset 7 of 3"));
    }
}
