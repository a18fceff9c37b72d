//! The prediction API of the Portable Prediction Server: routes and handlers. The same handlers stand under the
//! root and under the prefixes that its clients put before it. Credentials that clients send are ignored, as there.

mod answer;
mod columns;
mod described;
mod info;
mod manage;
mod parameters;
mod request;

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::{Operation, PathId, Protocol, Route, delete, get, post};
use crate::error::ServerError;
use crate::http::{App, json, ready};
pub(super) use answer::wants_csv;
pub(crate) use answer::write_cell;
use columns::Columns;
use parameters::Parameters;
use request::PpsExchange;

/// Milliseconds from the request's head to its answer; clients rely on it.
pub(crate) const EXECUTION_TIME: HeaderName = HeaderName::from_static("x-datarobot-execution-time");
/// An id for this request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-datarobot-request-id");
/// Whether the model was in memory when the request came.
const CACHE_HIT: HeaderName = HeaderName::from_static("x-datarobot-model-cache-hit");

/// The prediction API.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "pps",
    title: "Prediction API",
    routes,
    paths: &[],
    error_form: message,
    error_schema: described::error,
    schemas: described::schemas,
};

/// What clients put before the routes, besides nothing.
const PREFIXES: [&str; 2] = ["/predApi/v1.0", "/api/v2"];

fn routes() -> Vec<Route> {
    let predictions = || described::predictions(post(predictions, "Predictions for rows"));
    let explanations = || described::not_offered(post(not_offered, "Refused: no model offers explanations"));
    let unstructured =
        || described::not_offered(post(not_offered, "Refused: no model takes what are no rows"));
    let info = || described::info(get(info::info, "Facts on the model"));
    let token = |method| {
        described::api_token(Operation::of(method, api_token, "A token for clients that ask for one"))
    };
    let mut routes = vec![
        Route::model("/predictions", predictions()),
        Route::model("/predictionExplanations", explanations()),
        Route::model("/predictionsUnstructured", unstructured()),
        Route::model("/info", info()),
        Route::health("/ready", described::ready(get(ready, "Models can be asked for predictions"))),
        // Older commands of the batch client: a project id, then the model's.
        Route::root("/predApi/v1.0/{project}/{id}/predict", predictions()),
        Route::root("/predApi/v1.0/{project}/{id}/reasonCodesPredictions", explanations()),
        Route::root("/api/v1/{project}/{id}/predict", predictions()),
        Route::root("/predApi/v1.0/api_token", ["get", "post"].map(token)),
    ];
    for prefix in ["", PREFIXES[0], PREFIXES[1]] {
        let of_model = format!("{prefix}/deployments/{{id}}");
        let deployments = described::deployments(get(info::deployments, "All deployments with their state"));
        let manage = [
            described::upload(post(
                manage::upload,
                "Uploads a package, for a new deployment or in place of the one it has",
            )),
            described::delete(delete(manage::delete, "Removes a deployment's package")),
        ];
        routes.push(Route::root(format!("{prefix}/deployments"), deployments));
        routes.push(Route::root(of_model.clone(), manage));
        if !prefix.is_empty() {
            routes.extend([
                Route::root(format!("{prefix}/predictions"), predictions()),
                Route::root(format!("{prefix}/info"), info()),
                Route::root(format!("{of_model}/predictions"), predictions()),
                Route::root(format!("{of_model}/predictionExplanations"), explanations()),
                Route::root(format!("{of_model}/predictionsUnstructured"), unstructured()),
                Route::root(format!("{of_model}/info"), info()),
            ]);
        }
    }
    routes
}

async fn predictions(
    State(app): State<Arc<App>>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    match predict(&app, id.as_deref(), query.as_deref(), request).await {
        Ok(response) => response,
        Err(error) => PROTOCOL.error_response(&error),
    }
}

async fn predict(
    app: &App,
    id: Option<&str>,
    query: Option<&str>,
    request: Request,
) -> Result<Response, ServerError> {
    let ready = app.repository.model(id).await?;
    let parameters = Parameters::parse(query.unwrap_or_default(), &ready.model.target)?;
    let csv = answer::wants_csv(request.headers());
    let columns = Columns::new(parameters.keep, ready.deployment.settings().required_column());
    let form = answer::AnswerFormat::new(csv, parameters.decimals);
    let exchange = PpsExchange::read(request, columns, form, &app.admission, app.config.body_limit).await?;
    let mut response = super::response(app.scorer.answer(&app.admission, &ready, exchange).await?);
    let content_type = if csv { "text/csv; charset=utf-8" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(CACHE_HIT, HeaderValue::from_static(if ready.was_loaded { "true" } else { "false" }));
    Ok(response)
}

/// Routes of model kinds that are not served yet.
async fn not_offered(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    let error = match app.repository.model(id.as_deref()).await {
        Ok(_) => ServerError::BadParameter("not available for this model".to_owned()),
        Err(error) => error,
    };
    PROTOCOL.error_response(&error)
}

/// Clients without a token ask for one first; any will do.
async fn api_token() -> Response {
    json(StatusCode::OK, "{\"api_token\":\"none-needed\"}")
}

/// `{"message": …}`, whatever the request accepts.
fn message(error: &ServerError) -> Response {
    json(error.status(), serde_json::json!({ "message": error.to_string() }).to_string())
}
