//! The states of an incident.

use crate::event::{UnknownValue, wire_enum};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

wire_enum! {
    /// Where an incident stands: open -> investigating -> resolved; investigating -> open when it recurs
    /// after having been quiet.
    IncidentStatus {
        /// It happens and nobody has taken it up.
        Open = "open",
        /// A person is on it.
        Investigating = "investigating",
        /// Done; a later event opens a new incident that links back to this one.
        Resolved = "resolved",
    }
}
