//! Which names say that their value is secret, and which values are our own.

use crate::summarizer::pattern::pattern;
use regex::Regex;
use std::sync::LazyLock;

/// Words that make a name secret wherever they stand in it.
const SECRET: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "passcode",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "authorization",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "creds",
    "jwt",
    "bearer",
    "csrf",
    "xsrf",
    "sessionid",
    "signature",
    "privatekey",
    "accesskey",
    "secretkey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "idtoken",
    "clientsecret",
    "sessiontoken",
    "cvv",
    "cvc",
    "ssn",
    "otp",
    "totp",
];
/// Two words that make it so together.
const PAIRS: &[(&str, &str)] = &[
    ("api", "key"),
    ("access", "key"),
    ("private", "key"),
    ("secret", "key"),
    ("session", "id"),
    ("session", "key"),
    ("encryption", "key"),
    ("signing", "key"),
    ("auth", "key"),
    ("master", "key"),
    ("account", "key"),
    ("storage", "key"),
    ("service", "key"),
    ("card", "number"),
    ("pass", "word"),
    ("pass", "phrase"),
];
/// Names that are secret only if there is nothing else in them.
const ALONE: &[&str] = &["auth", "pass", "pin", "sid", "session", "sig", "dsn"];
/// A last word that says: this is about the secret, not the secret.
const ABOUT: &[&str] = &[
    "count",
    "counts",
    "length",
    "len",
    "size",
    "limit",
    "limits",
    "usage",
    "used",
    "type",
    "types",
    "name",
    "names",
    "expires",
    "expiry",
    "expired",
    "expiration",
    "at",
    "ttl",
    "age",
    "url",
    "uri",
    "endpoint",
    "valid",
    "invalid",
    "required",
    "enabled",
    "present",
    "status",
    "policy",
    "version",
    "in",
    "out",
    "total",
    "max",
    "min",
    "rate",
    "budget",
    "error",
    "errors",
    "provider",
    "method",
    "reset",
    "field",
    "path",
    "file",
    "strength",
    "bucket",
];
/// Values under secret names that are none.
const HARMLESS: &[&str] = &[
    "null",
    "none",
    "nil",
    "undefined",
    "true",
    "false",
    "empty",
    "missing",
    "invalid",
    "expired",
    "required",
    "redacted",
    "[redacted]",
    "filtered",
    "[filtered]",
    "<redacted>",
    "hidden",
    "n/a",
];
/// Members that hold ids and times of ours.
const OWN: &[&str] = &[
    "id",
    "event_id",
    "event_ids",
    "first_event_id",
    "incident_id",
    "fingerprint",
    "command_id",
    "first_seen",
    "last_seen",
    "minute",
    "peak_minute",
    "earliest",
    "at",
    "time",
    "timestamp",
];

static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Z]+[a-z0-9]*|[a-z0-9]+"));
static OWN_SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)^(?:[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}",
        r"|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2}))$"
    ))
});

/// The words of a name, lower case: `X-Api-Key`, `apiKey` and `api_key` are equal.
fn words(name: &str) -> Vec<String> {
    WORD.find_iter(name).map(|word| word.as_str().to_ascii_lowercase()).collect()
}

/// Whether the value under this name is secret.
pub(super) fn is_secret(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last() else { return false };
    if ABOUT.contains(&last.as_str()) {
        return false;
    }
    let is_alone = words.len() == 1 && ALONE.contains(&last.as_str());
    let pairs = words.iter().zip(words.iter().skip(1));
    is_alone
        || words.iter().any(|word| SECRET.contains(&word.as_str()))
        || pairs.into_iter().any(|(first, second)| PAIRS.contains(&(first.as_str(), second.as_str())))
}

/// Whether a number under this name is secret. "Tokens" are counted, a "token" is not.
pub(super) fn is_secret_number(name: &str) -> bool {
    let words = words(name);
    let is_count =
        words.iter().any(|word| matches!(word.as_str(), "tokens" | "cookies" | "secrets" | "passwords" | "session"));
    is_secret(name) && !is_count && words.last().is_none_or(|last| last != "pass")
}

/// Whether a value under a secret name is a word and no secret, or hidden already.
pub(super) fn is_harmless(value: &str) -> bool {
    HARMLESS.contains(&value.to_ascii_lowercase().as_str())
        || value.chars().all(|c| matches!(c, '*' | '•' | 'x' | 'X' | '.' | '#'))
}

/// Whether it is an id, a fingerprint or a time of ours, by name and shape.
pub(super) fn is_own(name: &str, value: &str) -> bool {
    (OWN.contains(&name) || name.ends_with("_at")) && OWN_SHAPE.is_match(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for name in [
            "password",
            "DB_PASSWORD",
            "userPassword",
            "passwd",
            "X-Api-Key",
            "apiKey",
            "api_key",
            "APIKEY",
            "authorization",
            "Authorization",
            "auth",
            "Cookie",
            "set-cookie",
            "access_token",
            "accessToken",
            "refresh-token",
            "client_secret",
            "session_id",
            "sessionId",
            "jwt",
            "AWS_SECRET_ACCESS_KEY",
            "private_key",
            "privateKey",
            "x-csrf-token",
            "http.request.header.authorization",
            "pin",
            "cardNumber",
            "dsn",
            "secret_id",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "",
            "message",
            "token_count",
            "tokensIn",
            "token_type",
            "auth_method",
            "author",
            "authority",
            "passenger",
            "secretary",
            "password_reset",
            "password_policy",
            "cookie_name",
            "session_count",
            "key",
            "event_id",
            "keyboard",
            "pinned",
            "spinner",
            "token_expires_at",
            "compass",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(is_secret_number("pin") && is_secret_number("token") && !is_secret_number("prompt_tokens"));
    }

    #[test]
    fn own_values_have_a_name_and_a_shape() {
        let hash = "a".repeat(64);
        for (name, value) in [
            ("event_id", "01KAT2M8T0ABCDEFGHJKMNPQRS"),
            ("id", "0196b8f0-1c2d-7e3f-8a4b-5c6d7e8f9a0b"),
            ("fingerprint", hash.as_str()),
            ("occurred_at", "2026-11-24T03:09:48Z"),
            ("first_seen", "2026-11-24T03:09:48.123+00:00"),
        ] {
            assert!(is_own(name, value), "{name} {value}");
        }
        assert!(
            !is_own("event_id", "bob@example.com")
                && !is_own("message", "2026-11-24T03:09:48Z")
                && !is_own("token", &hash)
        );
    }
}
