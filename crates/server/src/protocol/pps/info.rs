//! What is served, as JSON: `/info`, `/deployments` and `/deployments/{id}/info`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use portend_core::{Label, ModelId, TargetKind};
use portend_model::Model;
use serde_json::{Value, json};

use super::PROTOCOL;
use crate::http::{self, App};
use crate::protocol::PathId;
use crate::repository::{Failure, LoadFacts, Repository, Snapshot};

/// Facts on one model: the one named in the path, or the only one.
pub(super) async fn info(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.repository.snapshot(id.as_deref()).await {
        Ok((id, snapshot)) => {
            let mut facts = describe(&app.repository, &id, &snapshot);
            if let Some(loaded) = &snapshot.loaded {
                describe_model(&loaded.model, &mut facts);
            }
            http::json(StatusCode::OK, facts.to_string())
        }
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// All models with their state.
pub(super) async fn deployments(State(app): State<Arc<App>>) -> Response {
    let deployments = app.repository.deployments(None).await;
    let deployments: Vec<Value> =
        deployments.iter().map(|d| describe(&app.repository, &d.id, &d.snapshot())).collect();
    http::json(StatusCode::OK, json!({ "deployments": deployments }).to_string())
}

/// What there is to tell of a deployment whether or not its model is in memory.
fn describe(repository: &Repository, id: &ModelId, snapshot: &Snapshot) -> Value {
    let Snapshot { loaded, loading, failure, package, last, used, settings, config_fault, feedback, .. } =
        snapshot;
    let state = match (loaded, loading, failure) {
        (Some(_), ..) => "ready",
        (None, true, _) => "loading",
        (None, false, Some(_)) => "failed",
        (None, false, None) => "unloaded",
    };
    let mut facts = json!({
        "id": id.as_str(),
        "package": package,
        "deploymentId": settings.deployment_id,
        "loaded": loaded.is_some(),
        "state": state,
        "lastUse": used.map(|moment| humantime::format_rfc3339_millis(repository.date(moment)).to_string()),
    });
    if let Some(failure) = failure {
        facts["error"] = error_value(failure);
    }
    if let Some(LoadFacts { digest, took, memory, .. }) = last {
        facts["digest"] = digest.as_str().into();
        facts["loadTimeMs"] = json!((took.as_secs_f64() * 1e6).round() / 1e3);
        facts["memoryBytes"] = (*memory).into();
    }
    if let Some(settings) = &settings.association_id_settings {
        facts["associationIdSettings"] = json!({ "columnName": settings.column_name, "allowMissingValues": settings.allow_missing_values });
    }
    if let (count @ 1.., reward) = feedback {
        facts["feedback"] = json!({ "count": count, "reward": reward });
    }
    if let Some(fault) = config_fault {
        facts["warning"] = fault.as_str().into();
    }
    facts
}

/// Adds what a loaded model says of itself.
fn describe_model(model: &Model, facts: &mut Value) {
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
