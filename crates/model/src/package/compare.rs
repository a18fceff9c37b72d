//! What differs between two packages, told from their descriptions alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::describe::{Description, FeatureFacts, FileFacts};

/// A value that is not the same in both. Null stands for "not there".
#[derive(Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which.
    pub field: String,
    /// In the first package.
    pub a: Value,
    /// In the second package.
    pub b: Value,
}

/// A feature that both read, and not in the same way.
#[derive(Debug, PartialEq, Serialize)]
pub struct FeatureChange {
    /// The feature.
    pub name: String,
    /// What differs.
    pub changes: Vec<Change>,
}

/// Names that only one side has, and those that both have in different form.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct NameChanges<T> {
    /// Only in the second package.
    pub added: Vec<String>,
    /// Only in the first package.
    pub removed: Vec<String>,
    /// In both.
    pub changed: Vec<T>,
}

impl<T> NameChanges<T> {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// What differs between two packages.
#[derive(Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Nothing differs.
    pub same: bool,
    /// What the manifests say, features left out.
    pub manifest: Vec<Change>,
    /// The features.
    pub features: NameChanges<FeatureChange>,
    /// Both have the same features in another order.
    pub features_reordered: bool,
    /// The model files have the same bytes.
    pub model_same_bytes: bool,
    /// What the model files say.
    pub model: Vec<Change>,
    /// The files.
    pub files: NameChanges<String>,
}

impl Comparison {
    /// Compares; where the packages lie, and in what container, makes no difference.
    pub fn of(a: &Description, b: &Description) -> Self {
        let mut manifest = changes(&a.package, &b.package, "");
        manifest.extend(changes(&a.target, &b.target, "target"));
        let mut model = changes(&a.model, &b.model, "");
        model.retain(|change| !["sha256", "path", "bytes"].contains(&change.field.as_str()));
        let features = features(&a.features, &b.features);
        let order = |d: &Description| d.features.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        let same_names = features.added.is_empty() && features.removed.is_empty();
        let features_reordered = same_names && order(a) != order(b);
        let model_same_bytes = a.model.sha256 == b.model.sha256;
        let files = files(&a.files, &b.files);
        let same = manifest.is_empty()
            && model.is_empty()
            && features.is_empty()
            && files.is_empty()
            && model_same_bytes
            && !features_reordered;
        Self { same, manifest, features, features_reordered, model_same_bytes, model, files }
    }
}

/// The leaves in which two values differ, by their path.
fn changes(a: &impl Serialize, b: &impl Serialize, prefix: &str) -> Vec<Change> {
    let leaves = |value: Result<Value, _>| {
        let mut leaves = BTreeMap::new();
        collect(prefix, value.unwrap_or(Value::Null), &mut leaves);
        leaves
    };
    let (mut a, mut b) = (leaves(serde_json::to_value(a)), leaves(serde_json::to_value(b)));
    let fields: BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
    let change = |field: String| {
        let take = |leaves: &mut BTreeMap<String, Value>| leaves.remove(&field).unwrap_or(Value::Null);
        let (a, b) = (take(&mut a), take(&mut b));
        (a != b).then_some(Change { field, a, b })
    };
    fields.into_iter().filter_map(change).collect()
}

/// Objects are walked through; lists are one value, for their order counts. Nothing is the same as an empty text.
fn collect(path: &str, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                collect(&path, value, leaves);
            }
        }
        Value::String(text) if text.is_empty() => {}
        value => _ = leaves.insert(path.to_owned(), value),
    }
}

fn features(a: &[FeatureFacts], b: &[FeatureFacts]) -> NameChanges<FeatureChange> {
    let change = |name: &str, a: &&FeatureFacts, b: &&FeatureFacts| {
        let changes = changes(a, b, "");
        (!changes.is_empty()).then(|| FeatureChange { name: name.to_owned(), changes })
    };
    names(a.iter().map(|f| (f.name.as_str(), f)), b.iter().map(|f| (f.name.as_str(), f)), change)
}

fn files(a: &[FileFacts], b: &[FileFacts]) -> NameChanges<String> {
    let change = |path: &str, a: &&FileFacts, b: &&FileFacts| (a.sha256 != b.sha256).then(|| path.to_owned());
    names(a.iter().map(|f| (f.path.as_str(), f)), b.iter().map(|f| (f.path.as_str(), f)), change)
}

fn names<'a, T, C>(
    a: impl Iterator<Item = (&'a str, T)>,
    b: impl Iterator<Item = (&'a str, T)>,
    change: impl Fn(&str, &T, &T) -> Option<C>,
) -> NameChanges<C> {
    let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) = (a.collect(), b.collect());
    let only = |one: &BTreeMap<&str, T>, other: &BTreeMap<&str, T>| {
        one.keys().filter(|name| !other.contains_key(*name)).map(|name| (*name).to_owned()).collect()
    };
    let changed = a.iter().filter_map(|(name, value)| change(name, value, b.get(name)?)).collect();
    NameChanges { added: only(&b, &a), removed: only(&a, &b), changed }
}
