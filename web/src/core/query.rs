//! Query strings, read strictly: what cannot be understood is refused by name, never ignored. A filter that is
//! misspelt and dropped would show too much.

use crate::error::{FieldError, Problem};
use actix_web::http::StatusCode;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::str::FromStr;

/// Parameters that one request may carry.
const MOST_PARAMETERS: usize = 100;

/// The parameters of one request, in their order; taken out one name after the other.
#[derive(Debug)]
pub struct Query {
    parameters: Vec<(String, String)>,
}

/// 400 `invalid_query` that names the parameter.
pub fn invalid(name: &str, detail: impl fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", format!("{name}: {detail}"))
        .with_errors(vec![FieldError::new(format!("/{name}"), detail.to_string())])
}

impl Query {
    /// Decodes `raw`. A parameter without a value counts as not given.
    ///
    /// # Errors
    /// `invalid_query` for a name that is not in `known`, for text that is no UTF-8, and for a NUL.
    pub fn parse(raw: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| invalid("query", "a parameter's name is not UTF-8"))?;
            if !known.contains(&name.as_str()) {
                let shown: String = name.chars().filter(|letter| !letter.is_control()).take(40).collect();
                return Err(invalid(&shown, format!("there is no such parameter; known are {}", known.join(", "))));
            }
            let value = decode(value).ok_or_else(|| invalid(&name, "is not UTF-8"))?;
            if value.contains('\0') {
                return Err(invalid(&name, "must not contain a NUL character"));
            }
            if parameters.len() == MOST_PARAMETERS {
                return Err(invalid(&name, format!("a request may carry {MOST_PARAMETERS} parameters")));
            }
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        Ok(Self { parameters })
    }

    /// All values of a parameter.
    pub fn many(&mut self, name: &str) -> Vec<String> {
        self.parameters.extract_if(.., |(known, _)| known == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter.
    ///
    /// # Errors
    /// `invalid_query` if it is given more than once.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.many(name);
        if values.len() > 1 {
            return Err(invalid(name, "may be given once"));
        }
        Ok(values.pop())
    }

    /// All values of a parameter, each given by itself or several with commas between.
    ///
    /// # Errors
    /// `invalid_query` if one of them cannot be parsed; the sentence is the parser's.
    pub fn listed<T: FromStr<Err: fmt::Display> + PartialEq>(&mut self, name: &str) -> Result<Vec<T>, Problem> {
        let mut values = Vec::new();
        for given in self.many(name) {
            for text in given.split(',') {
                let value = text.trim().parse().map_err(|error| invalid(name, error))?;
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        Ok(values)
    }

    /// A parsed value.
    ///
    /// # Errors
    /// `invalid_query` if it is given more than once or cannot be parsed.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.one(name)?.map(|text| text.parse().map_err(|error| invalid(name, error))).transpose()
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// `invalid_query`, with both bounds in the sentence.
    pub fn number(&mut self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(name, format!("must be a whole number from {least} to {most}"))),
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use schema::event::Severity;

    #[test]
    fn values_are_decoded_and_taken_once() {
        let mut query =
            Query::parse("q=a+b%2Bc%26&severity=warn,error&severity=error&limit=", &["q", "severity", "limit"])
                .unwrap();
        assert_eq!(query.one("q").unwrap().unwrap(), "a b+c&");
        assert_eq!(query.listed::<Severity>("severity").unwrap(), [Severity::Warn, Severity::Error]);
        assert_eq!(query.number("limit", 1, 100).unwrap(), None);
        assert_eq!(query.one("q").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name() {
        for (raw, named) in
            [("z=1", "z: "), ("q=%ff", "q: "), ("q=%00", "q: "), ("%ff=1", "query: "), ("a%0ab=1", "ab: ")]
        {
            let problem = Query::parse(raw, &["q"]).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_query"), "{raw}");
            assert!(problem.detail.starts_with(named), "{raw}: {}", problem.detail);
        }
        let twice = Query::parse("q=1&q=2", &["q"]).unwrap().one("q").unwrap_err();
        assert_eq!(twice.detail, "q: may be given once");
    }
}
