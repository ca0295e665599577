//! A key speaks for one project, and for no other.

use super::{id, only, settled};
use crate::stack::Stack;
use serde_json::json;

pub async fn projects_do_not_see_each_other(stack: &Stack) {
    const TITLE: &str = "the same failure in two projects";
    let (demo, other) = (stack.api(), stack.project("proj_tenant").await);
    // The same id and the same kind: still two events and two incidents.
    let event = json!({"event_id": "in-both", "event_type": "error", "message": TITLE});
    demo.send(&event).await;
    other.send(&event).await;
    other.send(&event).await;
    settled(&demo).await;
    settled(&other).await;
    let (of_demo, of_other) = (only(&demo, TITLE).await, only(&other, TITLE).await);
    assert_eq!((&of_demo["event_count"], &of_other["event_count"]), (&json!(1), &json!(1)));
    assert_ne!(of_demo["id"], of_other["id"]);
    assert_eq!(of_demo["fingerprint"], of_other["fingerprint"]);
    let projects = other.incidents().await.into_iter().map(|incident| incident["project_id"].clone());
    assert_eq!(projects.collect::<Vec<_>>(), ["proj_tenant", "proj_tenant"], "its own and its marker's");

    let strange = format!("/v1/incidents/{}", id(&of_demo));
    assert_eq!(other.get(&strange).await.status, 404);
    for step in ["investigate", "resolve", "reopen"] {
        assert_eq!(other.command(id(&of_demo), step).await.status, 404, "{step}");
    }
    let refused = other.get("/v1/incidents?project_id=proj_demo").await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("other_project")));
    assert_eq!(only(&demo, TITLE).await, of_demo, "nothing of it has changed");

    let unknown = demo.with_key("sig_nobody-has-this-key").post("/v1/events", &event).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (401, &json!("unknown_key")));
    let said = stack.say(&["keys", "create", "--project", "proj_tenant", "--scopes", "read"]).await;
    let reader = demo.with_key(said.lines().next().unwrap());
    assert_eq!(reader.incidents().await.len(), 2);
    let refused = reader.post("/v1/events", &event).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("missing_scope")));
}
