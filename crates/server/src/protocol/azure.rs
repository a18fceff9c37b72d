//! The contract of Azure Machine Learning for online endpoints: `/score`, in the form of MLflow's models there and in that
//! of the usual scoring scripts. That the process is alive is told at `/`, with other protocols.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use portend_model::Model;

use super::rows::{
    Answered, Around, Asked, Contract, Object, ROWS_CAUSES, RowsAnswer, Table, answered, columns_schema,
    parameters_schema, rows_schema,
};
use super::{PathId, Protocol, Route, error_key, error_key_schema, no_schemas, post};
use crate::config::ClassPredictions;
use crate::error::ServerError;
use crate::http::App;
use crate::openapi::Subject;
use crate::openapi::schema::{array, json_of, reference, texts};
use serde_json::{Value, json};

/// The contract.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "azure",
    title: "Azure ML",
    routes,
    paths: &["/score"],
    error_form: error_key,
    error_schema: error_key_schema,
    schemas: no_schemas,
};

fn routes() -> Vec<Route> {
    let score = post(score, "Predictions for rows")
        .described("Rows are sent as `input_data`, as MLflow's models have it there, or as `data`.")
        .takes(body)
        .gives(200, "One value for each row", |_| json_of(&array(&reference("PlainPrediction"))))
        .may(ROWS_CAUSES);
    vec![Route::model("/score", score)]
}

fn body(subject: &Subject<'_>) -> Value {
    let split = json!({
        "type": "object",
        "properties": { "columns": texts(), "index": {}, "data": rows_schema() },
        "required": ["data"],
    });
    let columns = columns_schema();
    let schema = json!({
        "type": "object",
        "properties": {
            "input_data": { "anyOf": [split, rows_schema(), columns] },
            "data": rows_schema(),
            "params": parameters_schema(),
        },
        "oneOf": [{ "required": ["input_data"] }, { "required": ["data"] }],
    });
    let example = |subject: &Subject<'_>| json!({ "input_data": { "columns": subject.columns(), "index": [0], "data": [subject.row()] } });
    json!({ "application/json": subject.content(&schema, example) })
}

async fn score(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    let scored = async {
        let ready = app.repository.model(id.as_deref()).await?;
        answered(&app, &ready, request, Scored(app.config.class_predictions)).await
    };
    scored.await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
}

/// One request.
struct Scored(ClassPredictions);

impl Contract for Scored {
    fn read<'b>(&self, text: &'b str, model: &Model) -> Result<Asked<'b>, ServerError> {
        let bad = |reason: String| ServerError::BadBody(reason);
        let body =
            Object::parse(text).map_err(|reason| bad(format!("the body is not a JSON object: {reason}")))?;
        let table = match (body.get("input_data"), body.get("data")) {
            (Some(_), Some(_)) => {
                Err(bad("the body has 'input_data' and 'data': send one of them".to_owned()))
            }
            (None, None) => {
                Err(bad("the body has neither 'input_data' nor 'data': send rows as one of them".to_owned()))
            }
            (Some(rows), None) => input_data(rows),
            (None, Some(rows)) => Table::of_list("data", rows),
        }?;
        let answered = Answered::from(self.0).asked("params", body.get("params"))?;
        let around = Around::Json("[", "]".to_owned());
        Ok(Asked { table, answer: RowsAnswer::new(answered, around, model) })
    }
}

/// A split table, columns, or a list of rows.
fn input_data(rows: &str) -> Result<Table<'_>, ServerError> {
    let is_split =
        rows.starts_with('{') && Object::parse(rows).is_ok_and(|object| object.get("data").is_some());
    if is_split { Table::of_split("input_data", rows) } else { Table::of_columns("input_data", rows) }
}
