//! `portend image inspect`: what an image is, as a page for people or as JSON.

use portend_image::{Descriptor, InspectedImage, Inspection, Location, inspect};
use serde_json::Value;

use super::arguments::InspectArguments;
use super::place::source;
use crate::CommandError;
use crate::package::arguments::Form;
use crate::package::inspect::{plain, size};
use crate::package::{print, print_json, table};

pub(super) fn run(arguments: &InspectArguments) -> Result<(), CommandError> {
    let source = source(&Location::parse(&arguments.image)?, &arguments.registry)?;
    let found = inspect(&*source, arguments.platform.parse()?.as_ref())?;
    match arguments.form.output {
        Form::Json => print_json(&found)?,
        Form::Table => print(&page(&found)),
    }
    Ok(())
}

pub(super) fn page(found: &Inspection) -> String {
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let head = [row("name", &found.name), row("digest", &found.digest), row("media type", &found.media_type)];
    let images = found.images.iter().map(|one| image(one, one.digest != found.digest));
    let referrers = titled("referrers", &referrers(&found.referrers));
    [table::aligned(&head), referrers, images.collect::<Vec<_>>().concat()].concat()
}

fn image(image: &InspectedImage, of_several: bool) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![row("platform", image.platform.clone()), row("size", size(image.size))];
    if of_several {
        rows.insert(1, row("digest", image.digest.clone()));
    }
    let top = |name: &str| image.config.get(name).map(shown).unwrap_or_default();
    let inner =
        |name: &str| image.config.get("config").and_then(|c| c.get(name)).map(shown).unwrap_or_default();
    for (name, value) in [
        ("created", top("created")),
        ("user", inner("User")),
        ("entrypoint", inner("Entrypoint")),
        ("command", inner("Cmd")),
        ("ports", inner("ExposedPorts")),
        ("environment", inner("Env")),
    ] {
        rows.push(row(name, value));
    }
    rows.retain(|row| !row[1].is_empty());
    let labels = image.config.get("config").and_then(|c| c.get("Labels")).and_then(Value::as_object);
    let labels = labels.into_iter().flatten().map(|(key, value)| row(&format!("  {key}"), plain(value)));
    let layers = image
        .layers
        .iter()
        .map(|layer| vec![format!("  {}", layer.digest), size(layer.size), layer.media_type.clone()]);
    let (labels, layers) = (labels.collect::<Vec<_>>(), layers.collect::<Vec<_>>());
    let referrers = titled("referrers", &referrers(&image.referrers));
    let (labels, layers) = (titled("labels", &labels), titled("layers", &layers));
    format!("\n{}{labels}{layers}{referrers}", table::aligned(&rows))
}

fn titled(title: &str, rows: &[Vec<String>]) -> String {
    match rows.len() {
        0 => String::new(),
        many => format!("{title} ({many})\n{}", table::aligned(rows)),
    }
}

/// What is about an image: the digests of its manifests, and what they say they are.
fn referrers(found: &[Descriptor]) -> Vec<Vec<String>> {
    let kind = |one: &Descriptor| one.other.get("artifactType").map(plain).unwrap_or_default();
    found.iter().map(|one| vec![format!("  {}", one.digest), kind(one)]).collect()
}

/// A value as one line: lists with spaces between, objects as their keys.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields.keys().cloned().collect::<Vec<_>>().join(" "),
        value => plain(value),
    }
}
