//! `portend image inspect`: what an image is, as a page for people or as JSON.

use portend_image::{InspectedImage, Inspection, Location, inspect};
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
    [table::aligned(&head), images.collect::<Vec<_>>().concat()].concat()
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
    let titled = |title: &str, rows: &[Vec<String>]| match rows.len() {
        0 => String::new(),
        many => format!("{title} ({many})\n{}", table::aligned(rows)),
    };
    format!("\n{}{}{}", table::aligned(&rows), titled("labels", &labels), titled("layers", &layers))
}

/// A value as one line: lists with spaces between, objects as their keys.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields.keys().cloned().collect::<Vec<_>>().join(" "),
        value => plain(value),
    }
}
