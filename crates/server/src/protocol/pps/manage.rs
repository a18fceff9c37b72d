//! Packages over HTTP: upload and delete. What becomes of a package is the repository's business.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use portend_core::{ModelId, shortened_to};
use serde_json::json;

use super::{PROTOCOL, request};
use crate::body::{Packing, packing};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::patience::arriving;
use crate::protocol::PathId;

/// A package for a new deployment, or in place of the one it has.
pub(super) async fn upload(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    let id = id.unwrap_or_default();
    match store(&app, &id, request).await {
        Ok(true) => http::json(StatusCode::CREATED, json!({ "id": id, "created": true }).to_string()),
        Ok(false) => http::json(StatusCode::OK, json!({ "id": id, "created": false }).to_string()),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// Removes a deployment's package.
pub(super) async fn delete(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.repository.delete(&id.unwrap_or_default()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// True when there was no package before.
async fn store(app: &App, id: &str, request: Request) -> Result<bool, ServerError> {
    let (head, body) = request.into_parts();
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let id = app.repository.check_upload(id, announced)?;
    if packing(&head.headers)? != Packing::Plain {
        let reason = "a package is sent as it is: it is compressed already";
        return Err(ServerError::UnsupportedMediaType(reason.to_owned()));
    }
    let data = arriving(body, app.admission.rate);
    match request::form_boundary(&head.headers)? {
        Some(boundary) => store_part(app, id, data, boundary).await,
        None => app.repository.upload(id, file_name(&head.headers), data).await,
    }
}

/// The first file of a form.
async fn store_part(
    app: &App,
    id: ModelId,
    data: impl Stream<Item = Result<Bytes, ServerError>> + Send + 'static,
    boundary: String,
) -> Result<bool, ServerError> {
    let mut form = multer::Multipart::new(data, boundary);
    while let Some(field) = form.next_field().await.map_err(bad_form)? {
        if let Some(name) = field.file_name().map(str::to_owned) {
            return app.repository.upload(id, Some(name), chunks(field)).await;
        }
    }
    Err(ServerError::BadBody(
        "the multipart body has no file part: send one as in -F file=@model.mlpkg".to_owned(),
    ))
}

fn chunks(field: multer::Field<'_>) -> impl Stream<Item = Result<Bytes, ServerError>> {
    field.map(|chunk| chunk.map_err(bad_form))
}

fn bad_form(error: multer::Error) -> ServerError {
    let error = match error {
        multer::Error::StreamReadFailed(source) => match source.downcast::<ServerError>() {
            Ok(own) => return *own,
            Err(source) => multer::Error::StreamReadFailed(source),
        },
        error => error,
    };
    let reason = error.to_string();
    ServerError::BadBody(format!("the multipart body cannot be read: {}", shortened_to(200, &reason)))
}

/// The file name out of `Content-Disposition: attachment; filename="model.mlpkg"`.
fn file_name(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_DISPOSITION)?.to_str().ok()?;
    let mut parts = value.split(';').filter_map(|part| part.split_once('='));
    let (_, name) = parts.find(|(key, _)| key.trim().eq_ignore_ascii_case("filename"))?;
    Some(name.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_found_in_content_disposition() {
        for (value, expected) in [
            ("attachment; filename=\"model.mlpkg\"", Some("model.mlpkg")),
            ("attachment; FileName = model.mlpkg ", Some("model.mlpkg")),
            ("inline; filename=a.mlpkg; size=3", Some("a.mlpkg")),
            ("attachment; filename*=UTF-8''x.mlpkg", None),
            ("attachment", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_DISPOSITION, value.parse().unwrap());
            assert_eq!(file_name(&headers).as_deref(), expected, "{value}");
        }
    }
}
