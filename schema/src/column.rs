//! Enumerations as they stand in text columns.

use crate::event::{EventType, Severity};
use crate::status::IncidentStatus;
use diesel::deserialize::{FromSql, Result};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::Text;

macro_rules! from_text {
    ($($name:ty),+) => {
        $(impl FromSql<Text, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> Result<Self> {
                Ok(<String as FromSql<Text, Pg>>::from_sql(value)?.parse()?)
            }
        })+
    };
}

from_text!(EventType, Severity, IncidentStatus);
