//! A request to `/invocations`: what its headers say it is, and its body as rows.

use std::str::Utf8Error;

use axum::http::HeaderMap;
use portend_core::{shortened, shortened_to};
use portend_model::Model;

use crate::config::ClassPredictions;
use crate::error::ServerError;
use crate::protocol::pps::wants_csv;
use crate::protocol::rows::{
    Answered, Around, Asked, Contract, HeaderLine, Mark, Object, RowsAnswer, Table, media_type,
};

/// The fields of which a JSON body has one.
const FIELDS: [&str; 4] = ["dataframe_split", "dataframe_records", "instances", "inputs"];

/// Fields of requests to language models.
const LANGUAGE_FIELDS: [&str; 3] = ["messages", "prompt", "input"];

/// What the headers say.
#[derive(Debug)]
pub(super) struct Invocation {
    rows: Rows,
    csv_answer: bool,
    classes: ClassPredictions,
}

#[derive(Debug, Clone, Copy)]
enum Rows {
    Csv(HeaderLine),
    Json,
    Parquet,
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

impl Invocation {
    pub(super) fn of(headers: &HeaderMap, classes: ClassPredictions) -> Result<Self, ServerError> {
        Ok(Self { rows: Rows::of(headers)?, csv_answer: wants_csv(headers), classes })
    }
}

impl Rows {
    fn of(headers: &HeaderMap) -> Result<Self, ServerError> {
        let unsupported = |reason: String| Err(ServerError::UnsupportedMediaType(reason));
        let (essence, parameters) = media_type(headers);
        let mut header = HeaderLine::Unknown;
        for (key, value) in &parameters {
            match (key.as_str(), value.to_ascii_lowercase().as_str()) {
                ("charset", "utf-8" | "utf8") => {}
                ("charset", _) => return unsupported("The scoring server only supports UTF-8".to_owned()),
                // the parameter that the registration of text/csv has
                ("header", "present") if essence == "text/csv" => header = HeaderLine::Present,
                ("header", "absent") if essence == "text/csv" => header = HeaderLine::Absent,
                _ => {
                    return unsupported(format!(
                        "Unrecognized content type parameters: {}: only charset=utf-8 is known, and header=present or \
                         header=absent of text/csv",
                        shortened(key)
                    ));
                }
            }
        }
        match essence.as_str() {
            "text/csv" => Ok(Self::Csv(header)),
            "application/json" => Ok(Self::Json),
            "application/vnd.apache.parquet" => Ok(Self::Parquet),
            other => unsupported(format!(
                "This predictor only supports the following content types: Types: ['text/csv', 'application/json', \
                 'application/vnd.apache.parquet']. Got '{}'.",
                shortened(other)
            )),
        }
    }
}

impl Invocation {
    fn answer(&self, answered: Answered, model: &Model) -> RowsAnswer {
        let around = match self.csv_answer {
            true => Around::Csv,
            false => Around::Json("{\"predictions\":[", "]}".to_owned()),
        };
        RowsAnswer::new(answered, around, model)
    }
}

impl Contract for Invocation {
    fn read<'b>(&self, text: &'b str, model: &Model) -> Result<Asked<'b>, ServerError> {
        let (table, answered) = match self.rows {
            Rows::Csv(header) => (Table::Csv(text, header), Answered::from(self.classes)),
            Rows::Json | Rows::Parquet => {
                let body = object(text)?;
                let answered = Answered::from(self.classes).asked("params", body.get("params"))?;
                (table(&body)?, answered)
            }
        };
        Ok(Asked { table, answer: self.answer(answered, model) })
    }

    fn of_file<'b>(&self, file: &'b [u8], limit: usize, model: &Model) -> Option<Asked<'b>> {
        let asked =
            || Asked { table: Table::Parquet(file, limit), answer: self.answer(self.classes.into(), model) };
        matches!(self.rows, Rows::Parquet).then(asked)
    }

    fn mark(&self) -> Mark {
        match self.rows {
            Rows::Csv(_) => Mark::EachRow(b'\n'),
            Rows::Json => Mark::EachValue(b','),
            Rows::Parquet => Mark::Nothing,
        }
    }

    fn takes_python_numbers(&self) -> bool {
        matches!(self.rows, Rows::Json)
    }

    fn not_text(&self, error: Utf8Error) -> ServerError {
        bad(format!("Ensure that input is a valid UTF-8 encoded string. Error: '{error}'"))
    }
}

/// What MLflow says of a body that is not in the form of its protocol.
fn required(received: &str) -> ServerError {
    let fields = FIELDS.map(|field| format!("'{field}'")).join(", ");
    bad(format!(
        "The input must be a JSON dictionary with exactly one of the input fields {{{fields}}}. {received}"
    ))
}

fn object(text: &str) -> Result<Object<'_>, ServerError> {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') | None => {}
        Some(_) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) if text.trim_ascii_start().starts_with('[') => return Err(required("Received a list.")),
            Ok(_) => return Err(required("Received a single value.")),
            Err(_) => {} // told below
        },
    }
    Object::parse(text).map_err(|reason| {
        bad(format!("Ensure that input is a valid JSON formatted string. Error: '{reason}'"))
    })
}

/// The rows of a body that has one of the fields.
fn table<'b>(body: &Object<'b>) -> Result<Table<'b>, ServerError> {
    let found: Vec<&str> = FIELDS.into_iter().filter(|field| body.keys().any(|key| key == *field)).collect();
    let [field] = found[..] else {
        if let Some(language) = LANGUAGE_FIELDS.iter().find(|field| body.keys().any(|key| key == **field)) {
            return Err(required(&format!(
                "'{language}' is a field of language models, and there is none here."
            )));
        }
        let keys: Vec<_> = body.keys().take(20).map(|key| format!("'{}'", shortened(key))).collect();
        let received = format!("Received dictionary with input fields: [{}].", keys.join(", "));
        return Err(required(&shortened_to(1000, &received)));
    };
    let Some(rows) = body.get(field) else { return Err(bad(format!("'{field}' is null: rows are needed"))) };
    match field {
        "dataframe_split" => Table::of_split(field, rows),
        "dataframe_records" => match rows.starts_with('[') {
            true => Ok(Table::Records(rows)),
            false => Err(bad("'dataframe_records' is not a list of records")),
        },
        _ => Table::of_columns(field, rows),
    }
}
