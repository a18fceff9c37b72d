//! Builds images: a base, the program, and what it is to serve. The same input gives the same bytes on every machine
//! and day: there is no clock here, no user, and no order of a directory's entries.

mod base;
mod binary;
mod config;
mod layer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

pub use binary::Binary;
pub use layer::{Compression, FileContent, LayerFile};

use crate::digest::Digest;
use crate::document::{Content, Descriptor, Document, Index, Manifest, media};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::section::Section;
use crate::store::Source;
use base::Base;
use layer::Layer;

/// What an image is made of.
pub struct Recipe<'a> {
    /// The program, once for each processor.
    pub binaries: Vec<Binary>,
    /// Where the program lies in the image.
    pub program: &'a str,
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

/// An image that was built and lies nowhere yet: its layers are in nameless files.
pub struct Built<'a> {
    root: Content,
    manifests: Vec<Content>,
    layers: Vec<Arc<Layer>>,
    configs: Vec<(Descriptor, Vec<u8>)>,
    base: Option<&'a dyn Source>,
}

/// Builds the image of a recipe: one image for one binary, an index for several.
pub fn build<'a>(recipe: &Recipe<'a>) -> Result<Built<'a>, ImageError> {
    check(recipe)?;
    let files = Arc::new(Layer::of(&recipe.files, recipe.compression)?);
    let mut layers = vec![Arc::clone(&files)];
    let (mut configs, mut manifests) = (Vec::new(), Vec::new());
    for binary in &recipe.binaries {
        let platform = Platform::linux(&binary.architecture);
        let base = recipe.base.map(|source| Base::read(source, &platform)).transpose()?;
        let content = FileContent::Path(binary.path.clone());
        let program = [LayerFile { path: recipe.program.to_owned(), executable: true, content }];
        let program = Arc::new(Layer::of(&program, recipe.compression)?);
        let added = [(&*program, "the program"), (&*files, recipe.files_title.as_str())];
        let config = config::write(recipe, &platform, base.as_ref(), &added)?;
        let config_descriptor = Descriptor::of(media::CONFIG, &config);
        let below = base.iter().flat_map(|base| base.layers.iter().cloned());
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: config_descriptor.clone(),
            layers: below.chain([program.descriptor.clone(), files.descriptor.clone()]).collect(),
            annotations: annotations(recipe, base.as_ref()),
        };
        let mut content = Content::written(Document::Image(manifest))?;
        content.descriptor.platform = Some(platform);
        layers.push(program);
        configs.push((config_descriptor, config));
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
    Ok(Built { root, manifests, layers, configs, base: recipe.base })
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
        annotations.insert(format!("{OCI}base.name"), base.name.clone());
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
        let found = self.manifests.iter().find(|content| content.descriptor.digest == wanted.digest);
        found.cloned().ok_or_else(|| self.absent(&wanted.digest))
    }

    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        if let Some((_, bytes)) = self.configs.iter().find(|(found, _)| found.digest == blob.digest) {
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
            return Ok(Box::new(&bytes[from..]));
        }
        if let Some(layer) = self.layers.iter().find(|layer| layer.descriptor.digest == blob.digest) {
            return Ok(Box::new(layer.section()?.skip(from)));
        }
        self.base.ok_or_else(|| self.absent(&blob.digest))?.read(blob, from)
    }

    fn name(&self) -> Option<Reference> {
        None // and not that of its base
    }

    fn repository(&self) -> Option<&Reference> {
        self.base.and_then(|base| base.repository())
    }
}

impl Built<'_> {
    fn absent(&self, digest: &Digest) -> ImageError {
        ImageError::Absent(format!("{} has no {digest}", self.label()))
    }
}

impl Layer {
    fn section(&self) -> Result<Section, ImageError> {
        let file: Result<File, _> = self.file.try_clone();
        file.map(|file| Section::new(file, self.descriptor.size)).map_err(|e| ImageError::io("a layer", e))
    }
}
