//! SQL that is parsed once a connection.
//!
//! diesel takes a text of SQL for one that differs each time, and has it parsed for each use: a round trip more. The texts that
//! are used often here are a few constants.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Untyped;

/// A statement of a constant text, with its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared<Q>(Q);

/// Any statement of a constant text.
pub(crate) trait Prepare: Sized {
    /// Is kept on the connection after its first use.
    fn prepared(self) -> Prepared<Self> {
        Prepared(self)
    }
}

impl<Q: QueryFragment<Pg>> Prepare for Q {}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();

    // The text itself tells one from another.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for Prepared<Q> {
    type SqlType = Untyped;
}
