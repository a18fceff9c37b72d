//! The configuration of an image: what its base says, and over that what the recipe says.

use serde_json::{Map, Value, json};

use super::Recipe;
use super::base::Base;
use super::layer::Layer;
use crate::error::ImageError;
use crate::platform::Platform;

/// Where programs are looked for where the base does not say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The time of what has none.
const EPOCH: &str = "1970-01-01T00:00:00Z";

pub(super) fn write(
    recipe: &Recipe<'_>,
    platform: &Platform,
    base: Option<&Base>,
    added: &[(&Layer, &str)],
) -> Result<Vec<u8>, ImageError> {
    let mut config = base.map(|base| base.config.clone()).unwrap_or_default();
    let created = recipe.created.as_deref().unwrap_or(EPOCH);
    config.insert("created".to_owned(), created.into());
    config.insert("os".to_owned(), platform.os.clone().into());
    config.insert("architecture".to_owned(), platform.architecture.clone().into());
    run(recipe, object(&mut config, "config"));
    let rootfs = object(&mut config, "rootfs");
    rootfs.insert("type".to_owned(), "layers".into());
    list(rootfs, "diff_ids").extend(added.iter().map(|(layer, _)| layer.diff_id.as_str().into()));
    // history is one entry a layer, or none at all
    let below = base.map_or(0, |base| base.layers.len());
    let history = list(&mut config, "history");
    let told = history.iter().filter(|entry| entry.get("empty_layer") != Some(&Value::Bool(true))).count();
    history.extend((told..below).map(|_| json!({"created": EPOCH, "comment": "of the base"})));
    history.extend(added.iter().map(
        |(_, title)| json!({"created": created, "created_by": "portend image build", "comment": title}),
    ));
    serde_json::to_vec(&config).map_err(|e| ImageError::bad("configuration", e.to_string()))
}

/// How a container is started.
fn run(recipe: &Recipe<'_>, run: &mut Map<String, Value>) {
    run.insert("User".to_owned(), recipe.user.clone().into());
    run.insert("Entrypoint".to_owned(), recipe.entrypoint.clone().into());
    run.remove("Cmd"); // of another program
    run.insert("WorkingDir".to_owned(), "/".into());
    object(run, "ExposedPorts").insert(format!("{}/tcp", recipe.port), json!({}));
    let labels = recipe.labels.iter().map(|(key, value)| (key.clone(), value.clone().into()));
    let all = object(run, "Labels");
    all.retain(|name, _| !name.starts_with("portend.")); // of another model
    all.extend(labels);
    let environment = list(run, "Env");
    if !environment.iter().any(|text| text.as_str().is_some_and(|text| text.starts_with("PATH="))) {
        environment.push(PATH.into());
    }
    for (name, value) in &recipe.environment {
        let own = format!("{name}=");
        environment.retain(|text| text.as_str().is_none_or(|text| !text.starts_with(&own)));
        environment.push(format!("{own}{value}").into());
    }
}

/// The object under a key, made where there is none.
fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was just made an object"),
    }
}

/// The list under a key, made where there is none.
fn list<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = map.entry(key).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was just made a list"),
    }
}
