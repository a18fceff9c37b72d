//! A request to `/api/model/invoke`: a matrix, with or without the names of its columns.

use std::str::Utf8Error;

use portend_model::Model;
use serde_json::json;

use crate::config::ClassPredictions;
use crate::error::ServerError;
use crate::protocol::rows::{Answered, Around, Asked, Contract, Object, RowsAnswer, Table};

/// One request.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) classes: ClassPredictions,
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

impl Contract for Matrix {
    fn read<'b>(&self, text: &'b str, model: &Model) -> Result<Asked<'b>, ServerError> {
        if text.is_empty() {
            return Err(bad("Please provide data with this POST request"));
        }
        let body =
            Object::parse(text).map_err(|reason| bad(format!("Can not parse input as JSON: {reason}")))?;
        let has_rows = |data: &str| !data.starts_with('[') || !data[1..].trim_ascii_start().starts_with(']');
        if !body.get("data").is_some_and(has_rows) {
            return Err(bad("Matrix is not provided"));
        }
        let table = Table::of_columns_and_data("the body", &body)?;
        let tail = format!("],\"columns\":{}}}", json!([model.target.name]));
        let around = Around::Json("{\"prediction\":[", tail);
        Ok(Asked { table, answer: RowsAnswer::new(Answered::from(self.classes), around, model) })
    }

    fn takes_python_numbers(&self) -> bool {
        false
    }

    fn not_text(&self, error: Utf8Error) -> ServerError {
        bad(format!("Can not decode POST data using utf-8 charset: {error}"))
    }
}
