//! Where documents and their page are served: `/openapi.json` and `/docs`, under the root and behind the prefixes that
//! name a model. The page and its files tell nothing of models and need no token; documents do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::schema::{json_of, text_of};
use super::{Document, Reach, Subject, Token, page};
use crate::error::Cause;
use crate::http::{self, App};
use crate::protocol::{self, PathId, Route, get};
use crate::repository::Ready;

/// Most ids of models that a document offers for the prefixes.
const MOST_IDS: usize = 100;

/// The routes of documents.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::model(
            "/openapi.json",
            get(document, "The OpenAPI document: of a model behind its prefix, of the server under the root")
                .gives(200, "An OpenAPI 3.1 document", |_| json_of(&json!({ "type": "object" })))
                .may(&[Cause::Model]),
        ),
        Route::health(
            "/docs",
            get(shown, "A page that shows the document and tries its operations out").gives(
                200,
                "Swagger UI",
                |_| text_of("text/html"),
            ),
        ),
        Route::health(
            "/docs/{file}",
            get(page::file, "A file of the page").gives(200, "The file", |_| files()).may(&[Cause::Name]),
        ),
    ]
}

/// Whether a route is one of them.
pub(crate) fn is_doc(route: &Route) -> bool {
    routes().iter().any(|doc| doc.path == route.path)
}

fn files() -> Value {
    let text = json!({ "schema": { "type": "string" } });
    json!({ "text/javascript": text, "text/css": text })
}

async fn shown(request: Request) -> Response {
    page::page(&request, "docs/", "openapi.json")
}

async fn document(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    let told = match &id {
        Some(_) => app.repository.model(id.as_deref()).await.map(Some),
        // without a model that is meant, the document is of any
        None => Ok(app.repository.model(None).await.ok()),
    };
    match told {
        Ok(ready) => written(&app, ready.as_ref(), id.is_some()).await,
        Err(error) => protocol::error_response(request.uri().path(), &error),
    }
}

async fn written(app: &App, ready: Option<&Ready>, is_behind_prefix: bool) -> Response {
    let deployments = app.repository.deployments(None).await;
    let ids: Vec<&str> = deployments.iter().map(|deployment| deployment.id.as_str()).take(MOST_IDS).collect();
    let reach = if is_behind_prefix { Reach::Model } else { Reach::Server(&ids) };
    answer(app, ready, reach)
}

/// A document as a response.
pub(crate) fn answer(app: &App, ready: Option<&Ready>, reach: Reach<'_>) -> Response {
    let token = if app.config.token.is_some() { Token::Needed } else { Token::NotNeeded };
    let write = || {
        let subject =
            ready.map_or_else(Subject::any, |ready| Subject::of(ready.deployment.id.as_str(), &ready.model));
        Document { subject: &subject, reach, token }.value().to_string()
    };
    // a model may have many columns: other requests on this thread go on elsewhere meanwhile
    match crate::score::guarded(|| Ok(tokio::task::block_in_place(write))) {
        Ok(text) => http::json(StatusCode::OK, text),
        Err(error) => protocol::error_response("/openapi.json", &error),
    }
}
