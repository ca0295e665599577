//! The API's description, made from the handlers themselves: what is registered is what is described.

use actix_web::http::header::ALLOW;
use actix_web::{App, HttpResponse, get, web};
use std::collections::BTreeMap;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, PathItem, RefOr, Response};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};
use utoipa_actix_web::AppExt;
use utoipa_actix_web::service_config::ServiceConfig;

#[derive(OpenApi)]
#[openapi(
    info(title = "Signals", description = "Counts every error exactly once and groups it into incidents."),
    components(schemas(crate::ingest::answer::ProblemDescription)),
    modifiers(&Security),
    tags(
        (name = "ingest", description = "How events come in."),
        (name = "incidents", description = "What is broken, and what people do about it."),
        (name = "search", description = "Every event, findable."),
        (name = "ai", description = "What explains the incidents, and how it does."),
        (name = "metrics", description = "A project's figures."),
        (name = "supervision", description = "What lives in the engine, and how it fares."),
        (name = "health", description = "Whether a process is alive and able to work.")
    )
)]
struct Base;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let key = ApiKeyValue::with_description("X-API-Key", "A key speaks for one project and has scopes.");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

/// The OpenAPI document of everything that Signals serves.
pub fn document() -> Document {
    let app = App::new().into_utoipa_app().openapi(Base::openapi());
    let app = app
        .configure(crate::core::services)
        .configure(crate::supervision::services)
        .configure(crate::health::services)
        .configure(crate::metrics::exporter::services);
    app.split_for_parts().1.merge_from(crate::ingest::IngestApi::openapi())
}

/// Makes the paths of `services` answer other methods than theirs with 405 and `Allow`. Register it behind them:
/// the handlers' own macros would leave such a request to the 404 of the unknown path.
pub fn refuse_other_methods(config: &mut web::ServiceConfig, services: fn(&mut ServiceConfig<'_>)) {
    let described = App::new().into_utoipa_app().configure(services).split_for_parts().1;
    for (path, item) in described.paths.paths {
        let allow = allowed(&item).join(", ");
        let refuse = move || {
            let allow = allow.clone();
            // Without a body: `crate::request_id` puts the problem there.
            async move { HttpResponse::MethodNotAllowed().insert_header((ALLOW, allow)).finish() }
        };
        config.service(web::resource(path).to(refuse));
    }
}

fn allowed(item: &PathItem) -> Vec<&'static str> {
    let known = [
        ("GET", item.get.is_some()),
        ("PUT", item.put.is_some()),
        ("POST", item.post.is_some()),
        ("DELETE", item.delete.is_some()),
        ("PATCH", item.patch.is_some()),
    ];
    known.into_iter().filter_map(|(method, is_there)| is_there.then_some(method)).collect()
}

/// The description of this API.
#[utoipa::path(tag = "health", responses((status = 200, description = "This document.")))]
#[get("/openapi.json")]
async fn serve(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().json(document)
}

/// Serves [`document`] at `/openapi.json`; for [`App::configure`].
pub fn routes(config: &mut web::ServiceConfig) {
    config.app_data(web::Data::new(document())).service(serve);
}

/// The refusals that every request for data can meet; each is a `application/problem+json`.
#[derive(Debug)]
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            ("400", "A parameter is wrong (`invalid_query`); `errors` names it."),
            ("401", "No key, an unknown one (`missing_key`, `unknown_key`) or a revoked one (`revoked_key`)."),
            ("403", "The key lacks the scope (`missing_scope`), or speaks for another project (`other_project`)."),
            ("404", "The key's project has no such thing."),
            ("503", "Something that Signals stands on does not answer; `Retry-After` says when to come back."),
        ]
        .into_iter()
        .map(|(status, sentence)| (status.to_owned(), problem(sentence).into()))
        .collect()
    }
}

fn problem(sentence: &str) -> Response {
    use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
    let schema = Ref::from_schema_name(crate::ingest::answer::ProblemDescription::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(sentence).content(crate::error::PROBLEM_JSON, content).build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Every `$ref` below `value`.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_every_route_and_leads_nowhere_in_vain() {
        let document = serde_json::to_value(document()).unwrap();
        for (path, method, scope) in [
            ("/v1/incidents", "get", "read"),
            ("/v1/incidents/{id}", "get", "read"),
            ("/v1/incidents/{id}/investigate", "post", "write"),
            ("/v1/incidents/{id}/resolve", "post", "write"),
            ("/v1/incidents/{id}/reopen", "post", "write"),
            ("/v1/quarantine", "get", "read"),
            ("/v1/quarantine/{fingerprint}/lift", "post", "admin"),
            ("/v1/supervision", "get", "admin"),
            ("/v1/supervision/{actor}", "get", "admin"),
            ("/v1/metrics/overview", "get", "read"),
            ("/v1/metrics/trends", "get", "read"),
            ("/v1/search/events", "get", "read"),
            ("/v1/search/events/{id}", "get", "read"),
            ("/v1/events", "post", "ingest"),
            ("/v1/events/batch", "post", "ingest"),
        ] {
            let operation = &document["paths"][path][method];
            let answers = &operation["responses"];
            assert!(answers["200"].is_object() || answers["202"].is_object(), "{method} {path}");
            assert!(answers["401"]["content"][crate::error::PROBLEM_JSON].is_object(), "{method} {path}");
            assert_eq!(operation["security"][0]["api_key"], serde_json::json!([scope]), "{method} {path}");
            assert!(operation["summary"].as_str().unwrap().len() > 10, "{method} {path}");
        }
        for path in ["/healthz", "/livez", "/readyz", "/metrics"] {
            assert!(document["paths"][path]["get"]["responses"]["200"].is_object(), "{path}");
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let status = &document["components"]["schemas"]["Incident"]["properties"]["status"]["enum"];
        assert_eq!(*status, serde_json::json!(["open", "investigating", "resolved"]));
    }

    #[actix_web::test]
    async fn the_document_is_served() {
        let app = actix_web::test::init_service(App::new().configure(routes)).await;
        let request = actix_web::test::TestRequest::get().uri("/openapi.json").to_request();
        let served: Value = actix_web::test::call_and_read_body_json(&app, request).await;
        assert_eq!(served, serde_json::to_value(document()).unwrap());
    }
}
