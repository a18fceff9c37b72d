//! What the simpler contracts share: rows as JSON or CSV in, one plain value for each of them out. A contract says how
//! its bodies are read and what stands around its values ([`Contract`]); paths, statuses and words are its own.

mod answer;
mod described;
mod exchange;
mod object;
mod parameters;
mod table;

pub(crate) use answer::{Answered, Around, RowsAnswer, label_value};
pub(crate) use described::{ROWS_CAUSES, columns_schema, parameters_schema, predictions, rows_schema};
pub(crate) use exchange::{Contract, Mark, answered};
pub(crate) use object::Object;
pub(crate) use table::{HeaderLine, Table};

use axum::http::{HeaderMap, header};

use crate::error::ServerError;

/// What a body asks for.
pub(crate) struct Asked<'b> {
    /// The rows.
    pub(crate) table: Table<'b>,
    /// What is answered.
    pub(crate) answer: RowsAnswer,
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

/// The media type that a header names, in lower case, and its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> (String, Vec<(String, String)>) {
    let value = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let value = value.unwrap_or_default();
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
    };
    (essence, parts.filter(|part| !part.is_empty()).map(pair).collect())
}
