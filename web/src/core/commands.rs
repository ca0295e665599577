//! What people tell an incident to do.
//!
//! The command goes to the log under the project's key, so it stands behind every event that was accepted before
//! it. The engine decides; this waits a moment for its answer and otherwise promises one.

use super::cursor::is_incident_id;
use super::incidents::{shown, unshared};
use super::query::Query;
use super::shapes::{CommandAccepted, CommandApplied};
use super::{CoreState, failed};
use crate::error::Problem;
use crate::ingest::clock::received_now;
use crate::openapi::Refusals;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, post, web};
use schema::command::{CommandKind, IncidentCommand};
use schema::incidents::{self, IncidentRow, OutcomeRow};
use schema::keys::Scope;
use schema::names::SCHEMA_VERSION;
use std::time::Duration;

/// How long a request waits for the engine.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The first pause between two looks at the database; each is half as long again, up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(4);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

macro_rules! command {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $path:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            tag = "incidents",
            params(("id" = String, Path, description = "The incident's id.")),
            responses(
                (status = 200, description = "It is done, durably.", body = CommandApplied),
                (status = 202, description = "It is safe in the log, but the engine has not answered in 2 seconds.",
                    body = CommandAccepted, headers(("Location" = String, description = "The incident."))),
                (status = 409, description = "The incident's state forbids it, or a newer incident of the same \
                    fingerprint exists.", body = crate::ingest::answer::ProblemDescription,
                    content_type = "application/problem+json"),
                Refusals
            ),
            security(("api_key" = ["write"]))
        )]
        #[post($path)]
        pub(super) async fn $name(
            request: HttpRequest,
            id: web::Path<String>,
            state: web::Data<CoreState>,
        ) -> Result<HttpResponse, Problem> {
            give(&request, &id, &state, CommandKind::$kind).await
        }
    };
}

command!(
    /// Takes the incident up: open -> investigating.
    investigate, Investigate, "/v1/incidents/{id}/investigate"
);
command!(
    /// Ends the incident: open or investigating -> resolved. A later event opens a new one that links back to it.
    resolve, Resolve, "/v1/incidents/{id}/resolve"
);
command!(
    /// Takes a resolution back: resolved -> open. Only the newest incident of its fingerprint can be reopened.
    reopen, Reopen, "/v1/incidents/{id}/reopen"
);

async fn give(request: &HttpRequest, id: &str, state: &CoreState, kind: CommandKind) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(request, Scope::Write).await?;
    Query::parse(request.query_string(), &[])?;
    let incident = find(state, &principal.project_id, id).await?;
    let command = IncidentCommand {
        schema_version: SCHEMA_VERSION.to_owned(),
        command_id: ulid::Ulid::generate().to_string(),
        kind,
        project_id: incident.project_id,
        incident_id: incident.id,
        fingerprint: incident.fingerprint,
        principal: principal.key_id.clone(),
        received_at: received_now(),
    };
    let payload = serde_json::to_vec(&command).map_err(Problem::internal)?;
    // After a refusal it may be in the log nevertheless; given again, the state of the incident decides.
    state.log.append(&command.project_id, &payload, true).await?;
    match tokio::time::timeout(PATIENCE, answer(state, &command.command_id)).await {
        Ok(OutcomeRow { applied: true, .. }) => {
            let incident = find(state, &command.project_id, &command.incident_id).await?.into();
            let done = CommandApplied { incident, command_id: command.command_id };
            Ok(HttpResponse::Ok().insert_header(unshared()).json(done))
        }
        Ok(OutcomeRow { detail, .. }) => Err(Problem::conflict(detail)),
        Err(_) => Ok(HttpResponse::Accepted()
            .insert_header((LOCATION, format!("/v1/incidents/{}", command.incident_id)))
            .json(CommandAccepted { accepted: true, command_id: command.command_id })),
    }
}

pub(super) async fn find(state: &CoreState, project_id: &str, id: &str) -> Result<IncidentRow, Problem> {
    let absent = || Problem::not_found(format_args!("incident {}", shown(id)));
    if !is_incident_id(id) {
        return Err(absent());
    }
    let mut connection = state.connection().await?;
    incidents::find(&mut connection, project_id, id).await.map_err(failed)?.ok_or_else(absent)
}

/// Looks again and again; never ends without an answer. The command is in the log by now, so a database that
/// does not answer is no reason to tell the client that it failed.
pub(super) async fn answer(state: &CoreState, command_id: &str) -> OutcomeRow {
    let mut pause = FIRST_PAUSE;
    loop {
        match look(state, command_id).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => {}
            Err(problem) => tracing::warn!(command_id, %problem, "cannot look for a command's outcome"),
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 3 / 2);
    }
}

async fn look(state: &CoreState, command_id: &str) -> Result<Option<OutcomeRow>, Problem> {
    let mut connection = state.connection().await?;
    incidents::outcome(&mut connection, command_id).await.map_err(failed)
}
