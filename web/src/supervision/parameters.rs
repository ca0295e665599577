//! The query parameters of the operator's view, as the documentation shows them.

use utoipa::IntoParams;

/// The query parameters of the tree.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator")]
pub(super) struct TreeParameters {
    /// Children of each kind shown of each router, 0 to 100; 10 if not given.
    #[param(minimum = 0, maximum = 100)]
    limit: Option<i64>,
    /// Which come first: `last_used` (default), `letters` (that no cut contains) or `restarts`.
    sort: Option<String>,
}

/// The query parameters of one actor.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator")]
pub(super) struct ActorParameters {
    /// Of a router: `incidents` (default) or `projects`.
    children: Option<String>,
    /// Children on the page, 0 to 100; 50 if not given.
    #[param(minimum = 0, maximum = 100)]
    limit: Option<i64>,
    /// Which come first: `last_used` (default), `letters` (that no cut contains) or `restarts`.
    sort: Option<String>,
    /// `next_cursor` of the page before, with the same sort.
    cursor: Option<String>,
}
