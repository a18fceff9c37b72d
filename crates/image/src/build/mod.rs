//! Builds images: a base, the program, and what it is to serve. The same input gives the same bytes on every machine
//! and day: there is no clock here, no user, and no order of a directory's entries.

mod base;
mod binary;
mod config;
mod crates;
mod layer;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

pub use binary::Binary;
pub use crates::BuiltFrom;
pub use layer::{Compression, FileContent, Layer, LayerFile};

use crate::attestation::{self, Bill, Provenance};
use crate::digest::Digest;
use crate::document::{Content, Descriptor, Document, Index, Manifest, media};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::referrers;
use crate::store::Source;
use base::Base;

/// What an image is made of.
pub struct Recipe<'a> {
    /// The program, once for each processor.
    pub binaries: Vec<Binary>,
    /// Where the program lies in the image.
    pub program: &'a str,
    /// Layers that lie between the base and the program.
    pub between: Vec<Between>,
    /// What lies above the program.
    pub files: Vec<LayerFile>,
    /// What the layer of files is called in the image's history.
    pub files_title: String,
    /// What a container runs.
    pub entrypoint: Vec<String>,
    /// Variables of a container.
    pub environment: Vec<(String, String)>,
    /// The port that it listens on.
    pub port: u16,
    /// The user and group that it runs as.
    pub user: String,
    /// What is said of the image, in its labels and annotations.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Option<String>,
    /// What it is built on; nothing without it.
    pub base: Option<&'a dyn Source>,
    /// How new layers are compressed.
    pub compression: Compression,
}

/// A layer that was made before, in the image for one processor.
pub struct Between {
    /// For which one.
    pub architecture: String,
    /// What it is called in the image's history.
    pub title: String,
    /// The layer.
    pub layer: Arc<Layer>,
}

/// An image that was built and lies nowhere yet: its layers are in nameless files.
pub struct Built<'a> {
    root: Content,
    manifests: Vec<Content>,
    layers: Vec<Arc<Layer>>,
    /// Configurations, and statements about the images.
    documents: Vec<(Descriptor, Vec<u8>)>,
    referrers: Vec<(Digest, Content)>,
    base: Option<&'a dyn Source>,
}

/// Builds the image of a recipe: one image for one binary, an index for several.
pub fn build<'a>(recipe: &Recipe<'a>) -> Result<Built<'a>, ImageError> {
    check(recipe)?;
    let files = Arc::new(Layer::of(&recipe.files, recipe.compression)?);
    let mut layers = vec![Arc::clone(&files)];
    let (mut documents, mut manifests) = (Vec::new(), Vec::new());
    for binary in &recipe.binaries {
        let platform = Platform::linux(&binary.architecture);
        let base = recipe.base.map(|source| Base::read(source, &platform)).transpose()?;
        let content = FileContent::Path(binary.path.clone());
        let program = [LayerFile { path: recipe.program.to_owned(), executable: true, content }];
        let program = Arc::new(Layer::of(&program, recipe.compression)?);
        let between = recipe.between.iter().filter(|one| one.architecture == binary.architecture);
        layers.extend(between.clone().map(|one| Arc::clone(&one.layer)));
        let mut added: Vec<_> = between.map(|one| (&*one.layer, one.title.as_str())).collect();
        added.extend([(&*program, "the program"), (&*files, recipe.files_title.as_str())]);
        let config = config::write(recipe, &platform, base.as_ref(), &added)?;
        let config_descriptor = Descriptor::of(media::CONFIG, &config);
        let below = base.iter().flat_map(|base| base.layers.iter().cloned());
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            artifact_type: None,
            config: config_descriptor.clone(),
            layers: below.chain(added.iter().map(|(layer, _)| layer.descriptor.clone())).collect(),
            subject: None,
            annotations: annotations(recipe, base.as_ref()),
        };
        let mut content = Content::written(Document::Image(manifest))?;
        content.descriptor.platform = Some(platform);
        layers.push(program);
        documents.push((config_descriptor, config));
        manifests.push(content);
    }
    let root = match &manifests[..] {
        [one] => {
            Content { descriptor: Descriptor { platform: None, ..one.descriptor.clone() }, ..one.clone() }
        }
        several => {
            let mut index = Index::new(several.iter().map(|content| content.descriptor.clone()).collect());
            index.annotations = annotations(recipe, None);
            Content::written(Document::Index(index))?
        }
    };
    let referrers = Vec::new();
    Ok(Built { root, manifests, layers, documents, referrers, base: recipe.base })
}

fn check(recipe: &Recipe<'_>) -> Result<(), ImageError> {
    let mut architectures: Vec<_> = recipe.binaries.iter().map(|binary| &binary.architecture).collect();
    architectures.sort();
    if let Some(twice) = architectures.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ImageError::Name(format!("there are two binaries for linux/{}", twice[0])));
    }
    let dynamic = recipe.binaries.iter().find(|binary| !binary.is_static);
    match (recipe.base, dynamic, recipe.binaries.is_empty()) {
        (_, _, true) => Err(ImageError::Name("an image needs a binary".to_owned())),
        (None, Some(binary), _) => Err(ImageError::bad(
            binary.path.display().to_string(),
            "it needs shared libraries, and an image without a base has none: name a static build (--binary), or a \
             base that has them (--base)",
        )),
        _ => Ok(()),
    }
}

/// The prefix of labels that are annotations of the OCI.
const OCI: &str = "org.opencontainers.image.";

fn annotations(recipe: &Recipe<'_>, base: Option<&Base>) -> BTreeMap<String, String> {
    let mut annotations = recipe.labels.clone();
    if let Some(base) = base {
        annotations.extend(base.name.iter().map(|name| (format!("{OCI}base.name"), name.clone())));
        annotations.insert(format!("{OCI}base.digest"), base.digest.to_string());
    }
    annotations.extend(recipe.created.iter().map(|time| (format!("{OCI}created"), time.clone())));
    annotations
}

impl Source for Built<'_> {
    fn label(&self) -> String {
        "the image that was built".to_owned()
    }

    fn root(&self) -> Result<Content, ImageError> {
        Ok(self.root.clone())
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Content, ImageError> {
        let referrers = self.referrers.iter().map(|(_, content)| content);
        let found = self.manifests.iter().chain(referrers).find(|one| one.descriptor.digest == wanted.digest);
        found.cloned().ok_or_else(|| self.absent(&wanted.digest))
    }

    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        if let Some((_, bytes)) = self.documents.iter().find(|(found, _)| found.digest == blob.digest) {
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
            return Ok(Box::new(&bytes[from..]));
        }
        if let Some(layer) = self.layers.iter().find(|layer| layer.descriptor.digest == blob.digest) {
            return Ok(Box::new(layer.section()?.skip(from)));
        }
        self.base.ok_or_else(|| self.absent(&blob.digest))?.read(blob, from)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        let about = self.referrers.iter().filter(|(of, _)| of == subject);
        Ok(about.map(|(_, content)| referrers::entry(content)).collect())
    }

    fn name(&self) -> Option<Reference> {
        None // and not that of its base
    }

    fn repository(&self) -> Option<&Reference> {
        self.base.and_then(|base| base.repository())
    }
}

impl Built<'_> {
    /// The images: for which processor each is, and on what it is built, with the name that this has in a registry.
    pub fn images(&self) -> impl Iterator<Item = (&str, Option<(Option<&str>, Digest)>)> {
        self.manifests.iter().map(|content| {
            let architecture =
                content.descriptor.platform.as_ref().map_or("", |one| one.architecture.as_str());
            let Document::Image(manifest) = &content.document else { return (architecture, None) };
            let said = |name: &str| manifest.annotations.get(&format!("{OCI}{name}")).map(String::as_str);
            let base = said("base.digest").and_then(|digest| Digest::parse(digest).ok());
            (architecture, base.map(|digest| (said("base.name"), digest)))
        })
    }

    /// Says beside an image what it is made of.
    pub fn attach_bill(&mut self, architecture: &str, bill: &Bill) -> Result<(), ImageError> {
        let for_it = |content: &&Content| {
            content.descriptor.platform.as_ref().is_some_and(|platform| platform.architecture == architecture)
        };
        let Some(image) = self.manifests.iter().find(for_it) else { return Ok(()) };
        let image = image.descriptor.clone();
        self.attach_statement(&image, media::CYCLONEDX, bill.written(&image.digest))
    }

    /// Says beside all of it how it was made.
    pub fn attach_provenance(&mut self, provenance: &Provenance) -> Result<(), ImageError> {
        let image = self.root.descriptor.clone();
        self.attach_statement(&image, media::IN_TOTO, provenance.written(&image.digest))
    }

    fn attach_statement(
        &mut self,
        image: &Descriptor,
        kind: &str,
        statement: String,
    ) -> Result<(), ImageError> {
        let referrer = attestation::referrer(image, kind, statement.as_bytes())?;
        self.documents.push((Descriptor::of(media::EMPTY, attestation::EMPTY), attestation::EMPTY.to_vec()));
        self.documents.push((Descriptor::of(kind, statement.as_bytes()), statement.into_bytes()));
        self.referrers.push((image.digest.clone(), referrer));
        Ok(())
    }

    fn absent(&self, digest: &Digest) -> ImageError {
        ImageError::Absent(format!("{} has no {digest}", self.label()))
    }
}
