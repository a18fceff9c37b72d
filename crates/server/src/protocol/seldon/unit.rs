//! The unit that answers: in Seldon's words the node of a graph, which is a model here. What it says of itself.

use portend_core::Label;
use portend_model::Model;
use serde_json::{Value, json};

use super::message::Meta;
use crate::error::ServerError;
use crate::repository::Ready;

/// A model as a unit of a graph.
#[derive(Debug)]
pub(super) struct Unit {
    name: String,
    /// Where others have a container's image: the model's name and version.
    image: String,
}

impl Unit {
    pub(super) fn of(ready: &Ready) -> Self {
        let name = ready.deployment.id.as_str().to_owned();
        Self { image: format!("{name}:{}", version(&ready.model)), name }
    }

    /// Its name in a request's path.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its image in a request's path.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// The `meta` of an answer to a message with this `meta`.
    pub(super) fn meta(&self, request: Option<&Meta<'_>>) -> Result<String, ServerError> {
        Meta::answer(request, &self.name, &self.image)
    }

    /// The answer of a unit that is well.
    pub(super) fn healthy(&self) -> Result<String, ServerError> {
        Ok(format!("{{\"meta\":{},\"strData\":\"healthy\"}}", self.meta(None)?))
    }

    /// What is told of the model.
    pub(super) fn metadata(&self, model: &Model) -> Value {
        let features: Vec<&str> = model.features.iter().map(|feature| feature.name.as_str()).collect();
        let numeric = model.features.iter().all(|feature| feature.levels.is_empty());
        json!({
            "name": self.name,
            "versions": [version(model)],
            "platform": model.library.split(' ').next().unwrap_or_default(),
            "inputs": [array(if numeric { "tensor" } else { "ndarray" }, &json!(features))],
            "outputs": [array("tensor", &json!(class_names(model)))],
            "custom": {},
        })
    }

    /// What is told of the graph, which is this unit alone.
    pub(super) fn graph(&self, model: &Model) -> Value {
        let metadata = self.metadata(model);
        json!({
            "name": self.name,
            "graphinputs": metadata["inputs"],
            "graphoutputs": metadata["outputs"],
            "models": { self.name.as_str(): metadata },
        })
    }
}

fn array(kind: &str, names: &Value) -> Value {
    let width = names.as_array().map_or(0, Vec::len);
    json!({ "messagetype": kind, "schema": { "names": names, "shape": [width] } })
}

/// A model's version; those without one are the first.
fn version(model: &Model) -> &str {
    if model.version.is_empty() { "1" } else { &model.version }
}

/// The names of an answer's columns: the labels, or the target where there is one number.
pub(super) fn class_names(model: &Model) -> Vec<String> {
    match model.target.labels() {
        [] => vec![model.target.name.clone()],
        labels => labels.iter().map(Label::to_string).collect(),
    }
}

#[cfg(test)]
impl Unit {
    /// One that tests give its name.
    pub(super) fn named(name: &str, image: &str) -> Self {
        Self { name: name.to_owned(), image: image.to_owned() }
    }
}
