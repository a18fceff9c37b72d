//! What is said beside an image that was built: what it is made of, and how it was made.

use std::collections::BTreeMap;
use std::fs::File;

use portend_image::{
    Bill, Binary, Built, Component, Digest, FileContent, ImageError, LayerFile, Material, Provenance, Recipe,
};
use serde_json::json;

use super::build::{Installed, Subject};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn attach(
    built: &mut Built<'_>,
    recipe: &Recipe<'_>,
    subject: &Subject,
    installed: &Installed,
) -> Result<(), ImageError> {
    let images: Vec<_> = built
        .images()
        .map(|(architecture, base)| {
            (architecture.to_owned(), base.map(|(name, digest)| (name.unwrap_or("base").to_owned(), digest)))
        })
        .collect();
    let mut materials = Vec::new();
    let files = recipe.files.iter().map(component).collect::<Result<Vec<_>, _>>()?;
    for (binary, (architecture, base)) in recipe.binaries.iter().zip(&images) {
        let program = program(binary)?;
        let base = base.iter().map(|(name, digest)| base_component(name, digest));
        let parts: Vec<_> =
            [program].into_iter().chain(base).chain(files.iter().flatten().cloned()).collect();
        let named =
            |part: &Component| Some(Material { name: part.name.clone(), digest: part.digest.clone()? });
        materials.extend(parts.iter().filter_map(named));
        let crates = binary.crates.iter().flatten().map(|one| Component {
            kind: "library",
            name: one.name.clone(),
            version: one.version.clone(),
            package: (one.source == "crates.io").then(|| format!("pkg:cargo/{}@{}", one.name, one.version)),
            digest: None,
        });
        let python = installed.get(architecture).into_iter().flatten().map(|(name, version)| Component {
            kind: "library",
            name: name.clone(),
            version: version.clone(),
            package: Some(format!("pkg:pypi/{name}@{version}")),
            digest: None,
        });
        let bill = Bill {
            name: subject.id.clone(),
            version: subject.version.clone(),
            created: recipe.created.clone(),
            builder_version: VERSION.to_owned(),
            components: parts.iter().cloned().chain(crates).chain(python).collect(),
        };
        built.attach_bill(architecture, &bill)?;
    }
    materials.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
    materials.dedup_by(|a, b| a.digest == b.digest);
    let architectures: Vec<_> = images.iter().map(|(architecture, _)| architecture.as_str()).collect();
    let parameters = BTreeMap::from([
        ("model".to_owned(), json!({"id": subject.id, "version": subject.version})),
        ("architectures".to_owned(), json!(architectures)),
        ("compression".to_owned(), json!(format!("{:?}", recipe.compression).to_lowercase())),
        ("labels".to_owned(), json!(recipe.labels)),
    ]);
    built.attach_provenance(&Provenance {
        name: subject.id.clone(),
        builder_version: VERSION.to_owned(),
        parameters,
        materials,
    })
}

fn program(binary: &Binary) -> Result<Component, ImageError> {
    let own = binary.crates.iter().flatten().find(|one| one.name == "portend");
    Ok(Component {
        kind: "application",
        name: "portend".to_owned(),
        version: own.map(|own| own.version.clone()).unwrap_or_default(),
        package: None,
        digest: Some(digest(&FileContent::Path(binary.path.clone()))?),
    })
}

fn base_component(name: &str, digest: &Digest) -> Component {
    let (name, digest) = (name.to_owned(), Some(digest.clone()));
    Component { kind: "container", name, version: String::new(), package: None, digest }
}

/// A file beside the program; None for a directory.
fn component(file: &LayerFile) -> Result<Option<Component>, ImageError> {
    if file.path.ends_with('/') {
        return Ok(None);
    }
    let kind = if file.path.ends_with(".mlpkg") { "machine-learning-model" } else { "file" };
    let (name, digest) = (format!("/{}", file.path), Some(digest(&file.content)?));
    Ok(Some(Component { kind, name, version: String::new(), package: None, digest }))
}

fn digest(content: &FileContent) -> Result<Digest, ImageError> {
    match content {
        FileContent::Bytes(bytes) => Ok(Digest::of(bytes)),
        FileContent::Opaque => Ok(Digest::of(b"")),
        FileContent::Path(path) => {
            let failed = |source| ImageError::Io { what: path.display().to_string(), source };
            File::open(path).and_then(Digest::read).map_err(failed)
        }
    }
}
