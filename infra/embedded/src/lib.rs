//! Servers that need no set-up.
