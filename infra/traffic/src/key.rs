//! The API key, kept out of every log.

use reqwest::header::{HeaderValue, InvalidHeaderValue};
use std::fmt;

/// Name of the header that carries the key.
pub const KEY_HEADER: &str = "x-api-key";

/// An API key; its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// As a header value that the HTTP client does not print either.
    ///
    /// # Errors
    /// If the key holds a character that no header may hold, such as a line break.
    pub fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(self.0.trim())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl From<String> for ApiKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for ApiKey {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_key_and_the_header_does_too() {
        let key = ApiKey::from("sk_secret_1");
        let header = key.header().unwrap();
        assert_eq!(header.as_bytes(), b"sk_secret_1");
        assert!(!format!("{key:?} {header:?}").contains("secret"));
    }

    #[test]
    fn a_key_read_from_a_file_may_end_with_a_newline_but_hold_none() {
        assert_eq!(ApiKey::from("k\n").header().unwrap().as_bytes(), b"k");
        assert!(ApiKey::from("a\nb").header().is_err());
    }
}
