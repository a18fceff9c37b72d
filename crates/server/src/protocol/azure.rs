//! The contract of Azure Machine Learning for online endpoints: `/score`, in the form of MLflow's models there and in that
//! of the usual scoring scripts. That the process is alive is told at `/`, with other protocols.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use portend_model::Model;

use super::rows::{Answered, Around, Asked, Contract, Object, RowsAnswer, Table, answered};
use super::{PathId, Protocol, Route, error_key};
use crate::config::ClassPredictions;
use crate::error::ServerError;
use crate::http::App;

/// The contract.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "azure", routes, paths: &["/score"], error_form: error_key };

fn routes() -> Vec<Route> {
    vec![Route::model("/score", post(score))]
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
