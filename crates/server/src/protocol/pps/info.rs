//! What is served, as JSON: `/info`, `/deployments` and `/deployments/{id}/info`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use portend_core::{Label, ModelId, TargetKind};
use serde_json::{Value, json};

use super::{PathId, error_response};
use crate::http::{self, App};
use crate::repository::{Entry, Failure};

/// Facts on one model: the one named in the path, or the only one.
pub(super) async fn info(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.repository.find(id.as_deref()) {
        Ok((id, entry)) => http::json(StatusCode::OK, describe(id, entry).to_string()),
        Err(error) => error_response(&error),
    }
}

/// All models with their state.
pub(super) async fn deployments(State(app): State<Arc<App>>) -> Response {
    let deployments: Vec<Value> = app
        .repository
        .entries()
        .map(|(id, entry)| {
            let mut listed = json!({
                "id": id.as_str(),
                "package": entry.package_name(),
                "loaded": matches!(entry.state(), Some(Ok(_))),
            });
            if let Some(Err(failure)) = entry.state() {
                listed["error"] = error_value(failure);
            }
            listed
        })
        .collect();
    http::json(StatusCode::OK, json!({ "deployments": deployments }).to_string())
}

fn describe(id: &ModelId, entry: &Entry) -> Value {
    let mut facts = json!({ "id": id.as_str(), "package": entry.package_name(), "deploymentId": null });
    let model = match entry.state() {
        None => {
            facts["state"] = "loading".into();
            return facts;
        }
        Some(Err(failure)) => {
            facts["state"] = "failed".into();
            facts["error"] = error_value(failure);
            return facts;
        }
        Some(Ok(model)) => model,
    };
    let features: Vec<Value> = model
        .features
        .iter()
        .map(|f| json!({ "name": f.name, "dtype": f.dtype.name(), "required": f.required }))
        .collect();
    let (task, positive) = match &model.target.kind {
        TargetKind::Regression | TargetKind::MultiRegression { .. } => ("Regression", Value::Null),
        TargetKind::Multiclass { .. } => ("Multiclass", Value::Null),
        TargetKind::Multilabel { .. } => ("Multilabel", Value::Null),
        TargetKind::Binary { labels, positive, .. } => ("Binary", label_value(&labels[*positive])),
    };
    facts["state"] = "ready".into();
    facts["modelId"] = model.id.as_str().into();
    facts["modelVersion"] = model.version.as_str().into();
    facts["targetName"] = model.target.name.as_str().into();
    facts["targetType"] = task.into();
    facts["positiveClass"] = positive;
    let labels: Value = model.target.labels().iter().map(label_value).collect();
    let several = matches!(model.target.kind, TargetKind::MultiRegression { .. });
    facts["classLabels"] = if several { json!([]) } else { labels.clone() };
    if several {
        facts["outputs"] = labels;
    }
    facts["predictionThreshold"] = json!(model.target.threshold());
    facts["explanations"] = json!([]);
    facts["timeSeries"] = Value::Null;
    facts["library"] = model.library.as_str().into();
    facts["objective"] = model.objective.as_str().into();
    if let Some(rounds) = model.rounds {
        facts["iterations"] = json!({ "used": rounds.used, "of": rounds.of });
    }
    facts["samplesChecked"] = model.samples.into();
    facts["features"] = features.into();
    facts
}

/// Why a model failed: a word for programs and a sentence for people.
fn error_value(failure: &Failure) -> Value {
    json!({ "code": failure.code, "message": failure.message })
}

/// A label in its own type.
fn label_value(label: &Label) -> Value {
    match label {
        Label::Text(text) => text.as_str().into(),
        Label::Integer(value) => (*value).into(),
        Label::Number(value) => (*value).into(),
        Label::Bool(value) => (*value).into(),
    }
}
