//! What is told of the model and of the graph, which is that model alone; the same as over REST.

use portend_model::Model;
use serde_json::Value as Json;

use super::super::unit::Unit;
use super::value::push_json;
use super::wire::push_bytes;

/// A SeldonModelMetadata.
pub(super) fn model_metadata(unit: &Unit, model: &Model) -> Vec<u8> {
    let told = unit.metadata(model);
    let mut metadata = Vec::new();
    push_text(1, &told["name"], &mut metadata);
    listed(&told["versions"]).for_each(|version| push_text(2, version, &mut metadata));
    push_text(3, &told["platform"], &mut metadata);
    listed(&told["inputs"]).for_each(|array| push_array(4, array, &mut metadata));
    listed(&told["outputs"]).for_each(|array| push_array(5, array, &mut metadata));
    metadata
}

/// A SeldonGraphMetadata.
pub(super) fn graph_metadata(unit: &Unit, model: &Model) -> Vec<u8> {
    let told = unit.metadata(model);
    let (mut graph, mut entry) = (Vec::new(), Vec::new());
    push_text(1, &told["name"], &mut graph);
    push_text(1, &told["name"], &mut entry);
    push_bytes(2, model_metadata(unit, model), &mut entry);
    push_bytes(2, entry, &mut graph);
    listed(&told["inputs"]).for_each(|array| push_array(3, array, &mut graph));
    listed(&told["outputs"]).for_each(|array| push_array(4, array, &mut graph));
    graph
}

fn listed(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn push_text(number: u8, text: &Json, out: &mut Vec<u8>) {
    push_bytes(number, text.as_str().unwrap_or_default(), out);
}

/// A SeldonMessageMetadata.
fn push_array(number: u8, told: &Json, out: &mut Vec<u8>) {
    let mut array = Vec::new();
    push_text(1, &told["messagetype"], &mut array);
    push_json(2, &told["schema"], &mut array);
    push_bytes(number, array, out);
}
