//! What a client may ask of the incident list.

use super::cursor::Cursor;
use super::query::{Query, invalid};
use crate::error::Problem;
use actix_web::http::StatusCode;
use schema::incidents::{Direction, Filter, Sort, SortField, Start};
use utoipa::IntoParams;

const KNOWN: [&str; 9] = ["status", "project_id", "environment", "severity", "q", "sort", "limit", "offset", "cursor"];
/// Rows on a page, unless the client says otherwise.
const USUAL_LIMIT: i64 = 50;
/// Rows that a page may have.
const MOST_ROWS: i64 = 100;
/// Rows that may be skipped; the cursor goes further.
const MOST_SKIPPED: i64 = 1_000_000;
/// Letters of a search text or of an environment's name.
const LONGEST_TEXT: usize = 200;
/// Environments of one filter.
const MOST_ENVIRONMENTS: usize = 20;

/// The query parameters of `GET /v1/incidents`, as the documentation shows them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator; `ListQuery` is what the handler reads")]
pub struct ListParameters {
    /// `open`, `investigating` or `resolved`; several with commas or by repeating the parameter.
    #[param(example = "open,investigating")]
    status: Option<String>,
    /// Only to say it aloud: a key speaks for one project, and another one is refused with 403.
    project_id: Option<String>,
    /// Environment; repeat the parameter for several.
    #[param(example = "prod")]
    environment: Option<String>,
    /// `debug`, `info`, `warn`, `error` or `critical`; several with commas or by repeating the parameter.
    severity: Option<String>,
    /// Text somewhere in the title, error code, route or fingerprint, in upper or lower case; at most 200 letters.
    q: Option<String>,
    /// `last_seen_at`, `event_count` or `opened_at`, each with `:desc` (default) or `:asc`. `opened_at` is the one
    /// for reading everything while events come in: it hardly ever changes.
    #[param(example = "last_seen_at:desc")]
    sort: Option<String>,
    /// Incidents on a page, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Incidents to skip; not together with `cursor`.
    #[param(minimum = 0, maximum = 1_000_000)]
    offset: Option<i64>,
    /// `next_cursor` of the page before, with the same filters and sort.
    cursor: Option<String>,
}

/// A list that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Which incidents.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// From where on.
    pub start: Start,
    /// Rows before `start`: skipped, or on the pages before.
    pub offset: i64,
    /// Rows on the page, 1 to 100.
    pub limit: i64,
}

impl ListQuery {
    /// Reads the query string of a request by a key of `project_id`.
    ///
    /// # Errors
    /// `invalid_query`; 403 `other_project` if it asks for another project.
    pub fn parse(raw: &str, project_id: &str) -> Result<Self, Problem> {
        let mut query = Query::parse(raw, &KNOWN)?;
        own_project(&mut query, project_id)?;
        let filter = Filter {
            statuses: query.listed("status")?,
            environments: environments(&mut query)?,
            severities: query.listed("severity")?,
            text: query.one("q")?.map(|text| short(text, "q")).transpose()?,
        };
        let sort = query.one("sort")?.map_or(Ok(Sort::default()), |text| sort_of(&text))?;
        let limit = query.number("limit", 1, MOST_ROWS)?.unwrap_or(USUAL_LIMIT);
        let skipped = query.number("offset", 0, MOST_SKIPPED)?;
        let (start, offset) = match (query.one("cursor")?, skipped) {
            (Some(_), Some(_)) => return Err(invalid("offset", "give either an offset or a cursor")),
            (Some(text), None) => {
                let cursor = Cursor::decode(&text, project_id, &filter, sort)?;
                (Start::After(cursor.place), cursor.walked)
            }
            (None, skipped) => (Start::Skip(skipped.unwrap_or(0)), skipped.unwrap_or(0)),
        };
        Ok(Self { filter, sort, start, offset, limit })
    }
}

/// A key speaks for one project; asking it for another is a mistake that an empty answer would hide.
pub fn own_project(query: &mut Query, project_id: &str) -> Result<(), Problem> {
    match query.one("project_id")? {
        Some(asked) if asked != project_id => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "other_project",
            format!("this key speaks for the project '{project_id}' only"),
        )),
        _ => Ok(()),
    }
}

fn environments(query: &mut Query) -> Result<Vec<String>, Problem> {
    let environments = query.many("environment");
    if environments.len() > MOST_ENVIRONMENTS {
        return Err(invalid("environment", format!("at most {MOST_ENVIRONMENTS} can be asked for")));
    }
    environments.into_iter().map(|environment| short(environment, "environment")).collect()
}

fn short(text: String, name: &str) -> Result<String, Problem> {
    if text.chars().count() > LONGEST_TEXT {
        return Err(invalid(name, format!("must have at most {LONGEST_TEXT} letters")));
    }
    Ok(text)
}

/// `field`, `field:asc` or `field:desc`. The tables' own names of the two times are understood, too.
fn sort_of(text: &str) -> Result<Sort, Problem> {
    let (field, direction) = text.split_once(':').unwrap_or((text, Direction::Descending.as_str()));
    let field = match field {
        "last_seen" => SortField::LastSeen,
        "first_seen" => SortField::FirstSeen,
        other => other.parse().map_err(|error| invalid("sort", error))?,
    };
    let direction = direction.parse().map_err(|error| invalid("sort", format!("the direction {error}")))?;
    Ok(Sort { field, direction })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use schema::status::IncidentStatus;

    #[test]
    fn nothing_given_is_the_newest_fifty() {
        let query = ListQuery::parse("status=&q=&project_id=p", "p").unwrap();
        assert_eq!(query.filter, Filter::default());
        assert_eq!((query.sort, query.start, query.limit), (Sort::default(), Start::Skip(0), 50));
    }

    #[test]
    fn every_parameter_is_understood() {
        let raw = "status=open,investigating&status=open&environment=prod&environment=a,b&severity=critical&q=50%25\
                   &sort=event_count:asc&limit=7&offset=14";
        let query = ListQuery::parse(raw, "p").unwrap();
        assert_eq!(query.filter.statuses, [IncidentStatus::Open, IncidentStatus::Investigating]);
        assert_eq!(query.filter.environments, ["prod", "a,b"]);
        assert_eq!(query.filter.text.as_deref(), Some("50%"));
        assert_eq!(query.sort, Sort { field: SortField::EventCount, direction: Direction::Ascending });
        assert_eq!((query.start, query.offset, query.limit), (Start::Skip(14), 14, 7));
    }

    #[test]
    fn another_project_is_refused_aloud() {
        assert_eq!(ListQuery::parse("project_id=q", "p").unwrap_err().code, "other_project");
    }
}
