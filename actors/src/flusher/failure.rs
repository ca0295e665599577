//! Why one try of a flush failed: is the database away, or does it refuse what it was given?
//!
//! diesel does not hand the SQLSTATE on, only a few kinds. Those that belong to class 23 are surely about the rows; those
//! that belong to a lost connection surely are not; what it calls unknown (classes 22 and 54, but 53 and 57 too) may be
//! either, and the trial must tell.

use crate::failpoint::Struck;
use diesel::result::{DatabaseErrorKind as Kind, Error};

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection.
    #[error("{0}")]
    Away(String),
    /// The database's answer, or the end of the connection.
    #[error(transparent)]
    Refused(#[from] Error),
    /// In tests only.
    #[error(transparent)]
    Struck(#[from] Struck),
}

impl Failure {
    /// Whether it may be for what is in the rows.
    pub fn is_suspicious(&self) -> bool {
        match self {
            Self::Refused(Error::DatabaseError(kind, _)) => !matches!(
                kind,
                Kind::UnableToSendCommand
                    | Kind::ClosedConnection
                    | Kind::SerializationFailure
                    | Kind::ReadOnlyTransaction
            ),
            // What cannot be put on the wire in the first place.
            Self::Refused(Error::SerializationError(_) | Error::QueryBuilderError(_)) => true,
            _ => false,
        }
    }

    /// Whether a constraint was broken (SQLSTATE class 23).
    pub fn is_constraint(&self) -> bool {
        let Self::Refused(Error::DatabaseError(kind, _)) = self else { return false };
        matches!(
            kind,
            Kind::UniqueViolation
                | Kind::ForeignKeyViolation
                | Kind::NotNullViolation
                | Kind::CheckViolation
                | Kind::RestrictViolation
                | Kind::ExclusionViolation
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind) -> Failure {
        Failure::Refused(Error::DatabaseError(kind, Box::new("words".to_owned())))
    }

    #[test]
    fn an_outage_is_no_suspicion_and_a_broken_constraint_is_surely_one() {
        for (kind, is_suspicious, is_constraint) in [
            (Kind::CheckViolation, true, true),
            (Kind::UniqueViolation, true, true),
            (Kind::Unknown, true, false),
            (Kind::ClosedConnection, false, false),
            (Kind::UnableToSendCommand, false, false),
            (Kind::SerializationFailure, false, false),
        ] {
            let said = format!("{kind:?}");
            let failure = refused(kind);
            assert_eq!((failure.is_suspicious(), failure.is_constraint()), (is_suspicious, is_constraint), "{said}");
        }
        assert!(!Failure::Away("away".to_owned()).is_suspicious());
    }
}
