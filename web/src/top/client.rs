//! What `signals top` asks of the API.

use super::TopArgs;
use crate::supervision::{ActorView, Order, Page, Supervision};
use anyhow::Context;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Children shown of the partition that is looked at.
const CHILDREN: &str = "50";

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ask {
    /// The partition whose children are listed; none before the first look.
    pub partition: Option<i32>,
    /// Its projects instead of its incidents.
    pub of_projects: bool,
    /// The children's order.
    pub order: Order,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub tree: Supervision,
    /// The children; none if their router does not answer or lives elsewhere.
    pub children: Option<Page>,
}

/// One connection to one API.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    pub fn new(arguments: &TopArgs) -> anyhow::Result<Self> {
        let key = arguments.key.as_ref().map(|key| key.expose().trim()).filter(|key| !key.is_empty());
        let key = key.context("no API key: give --key, set SIGNALS_API_KEY, or run it where the data folder is")?;
        let mut value = HeaderValue::from_str(key).context("the API key holds a character that no header may hold")?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([("x-api-key".parse()?, value)]);
        let http = reqwest::Client::builder().timeout(PATIENCE).default_headers(headers).build()?;
        anyhow::ensure!(
            !arguments.url.cannot_be_a_base(),
            "the URL must be that of a core API, as http://127.0.0.1:3001"
        );
        Ok(Self { http, base: arguments.url.clone() })
    }

    /// Looks once. The error is a sentence.
    pub async fn look(&self, ask: &Ask) -> Result<Look, String> {
        let tree: Supervision = self.get(&[], &[("limit", "0")]).await?;
        let partition = ask.partition.or_else(|| tree.known.partitions.first().map(|first| first.partition));
        let children = match partition {
            Some(partition) => self.children(partition, ask).await?,
            None => None,
        };
        Ok(Look { tree, children })
    }

    async fn children(&self, partition: i32, ask: &Ask) -> Result<Option<Page>, String> {
        let mut query = vec![
            ("children", if ask.of_projects { "projects" } else { "incidents" }),
            ("limit", CHILDREN),
            ("sort", ask.order.as_str()),
        ];
        query.extend(ask.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let name = partition.to_string();
        match self.get::<ActorView>(&["PartitionRouter", &name], &query).await {
            Ok(mut router) => Ok(router.residents.pop()),
            // It went to another process between the two questions.
            Err(error) if error.starts_with("404") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, String> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "supervision"]).extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        let answer = self.http.get(url).send().await.map_err(|error| said(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(refusal(answer).await);
        }
        answer
            .json()
            .await
            .map_err(|error| format!("what answers there is no Signals of this version: {}", said(&error)))
    }
}

/// The status and the sentence of a refusal.
async fn refusal(answer: Response) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    let status = answer.status().as_u16();
    let detail =
        answer.json::<Problem>().await.map_or_else(|_| "no Signals answers there".to_owned(), |told| told.detail);
    format!("{status}: {detail}")
}

/// The innermost cause; the outer ones only repeat the address.
fn said(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
