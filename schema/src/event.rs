//! What kinds of events there are and how bad one can be.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text used on the wire and in the tables.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownValue;
            fn from_str(text: &str) -> Result<Self, UnknownValue> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(UnknownValue { allowed: &[$($text),+] }) }
            }
        }
    };
}
pub(crate) use wire_enum;

/// A text that is none of an enumeration's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", allowed.join(", "))]
pub struct UnknownValue {
    /// The texts that would have been accepted.
    pub allowed: &'static [&'static str],
}

wire_enum! {
    /// What an application reports. Only errors open incidents by themselves.
    EventType {
        /// A failure; opens or feeds an incident.
        Error = "error",
        /// A served request.
        HttpRequest = "http_request",
        /// A new user.
        Signup = "signup",
        /// A release went out.
        Deploy = "deploy",
        /// Words of a user.
        Feedback = "feedback",
        /// Anything else.
        Custom = "custom",
    }
}

wire_enum! {
    /// How bad, from least to most: the order of the variants is the order of severity.
    Severity {
        /// For developers only.
        Debug = "debug",
        /// Worth knowing.
        Info = "info",
        /// May become a problem.
        Warn = "warn",
        /// Something failed.
        Error = "error",
        /// Something important is down.
        Critical = "critical",
    }
}
