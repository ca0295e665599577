//! A client's trace goes on through ingest, the log and the engine, and a collector is told.
#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::as_conversions)]

mod rig;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web as http};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use rig::watched::{Rig, event};
use std::sync::{Arc, Mutex};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";
/// Not sampled by its client: nobody exports it.
const QUIET_ID: &str = "0af7651916cd43dd8448eb211c80319c";

type Received = Arc<Mutex<Vec<Span>>>;

async fn receive(request: HttpRequest, body: Bytes, received: http::Data<Received>) -> HttpResponse {
    assert_eq!(request.headers().get("content-type").unwrap(), "application/x-protobuf");
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in export.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        assert_eq!(name.value.as_ref().unwrap().value, Some(Value::StringValue("signals".to_owned())));
        received.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.clone()
}

#[actix_web::test]
async fn a_collector_gets_the_spans_of_ingest_and_engine_with_the_clients_trace_id() {
    let received = Received::default();
    let seen = http::Data::new(Arc::clone(&received));
    let collector = HttpServer::new(move || {
        App::new().app_data(seen.clone()).route("/collect/v1/traces", http::post().to(receive))
    });
    let collector = collector.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}/collect/", collector.addrs()[0]);
    let collector = collector.run();
    let handle = collector.handle();
    actix_web::rt::spawn(collector);
    let variables = move |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
        "SIGNALS_LOG" => Some("off".to_owned()),
        _ => None,
    };
    let telemetry = web::telemetry::begin_as(&variables).unwrap();

    let rig = Rig::start().await;
    let sampled = format!("00-{TRACE_ID}-{CLIENT_SPAN}-01");
    assert_eq!(rig.post("/v1/events", event("a"), &[("traceparent", &sampled)]).await, 202);
    rig.wait_for(r#"signals_events_settled_total{outcome="counted"} 1"#).await;
    let quiet = format!("00-{QUIET_ID}-{CLIENT_SPAN}-00");
    assert_eq!(rig.post("/v1/events", event("b"), &[("traceparent", &quiet)]).await, 202);
    rig.wait_for(r#"signals_events_settled_total{outcome="counted"} 2"#).await;
    rig.stop().await;
    telemetry.end();
    handle.stop(true).await;

    let spans = received.lock().unwrap();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE_ID), "{spans:#?}");
    let [ingest, engine] = ["POST /v1/events", "engine.apply"].map(|name| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {spans:#?}");
        found[0]
    });
    assert_eq!(hex(&ingest.parent_span_id), CLIENT_SPAN);
    assert_eq!(ingest.kind, SpanKind::Server as i32);
    assert_eq!(attribute(ingest, "http.response.status_code"), Some(Value::IntValue(202)));
    assert_eq!(attribute(ingest, "signals.project_id"), Some(Value::StringValue("proj_demo".to_owned())));
    assert_eq!(engine.parent_span_id, ingest.span_id, "through the header of the record");
    assert_eq!(engine.kind, SpanKind::Consumer as i32);
    assert_eq!(attribute(engine, "durable"), Some(Value::BoolValue(true)));
    assert!(engine.end_time_unix_nano >= ingest.end_time_unix_nano, "durable after it was acknowledged");
}
