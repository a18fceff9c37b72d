//! What `docker load` reads: `manifest.json` with the names of files in the archive.

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use super::DOCKER_FILE;
use super::tar_index::TarIndex;
use crate::digest::{Digest, Hasher};
use crate::document::{Content, Descriptor, Document, MOST_DOCUMENT, Manifest, media};
use crate::reference::Reference;
use crate::section::Section;

/// The most layers of an image.
const MOST_LAYERS: usize = 1000;

/// One image of the list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Entry {
    /// The entry of an image whose blobs lie where a layout has them.
    pub(super) fn of(manifest: &Manifest, name: Option<&Reference>) -> Self {
        let path = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest.hex());
        Self {
            config: path(&manifest.config),
            repo_tags: name.map(|name| vec![familiar(name)]),
            layers: manifest.layers.iter().map(path).collect(),
        }
    }
}

/// A name as Docker shows it: without what it adds by itself.
pub(super) fn familiar(name: &Reference) -> String {
    let full = format!("{}:{}", name.name(), name.tag.as_deref().unwrap_or("latest"));
    let hub = full.strip_prefix("docker.io/").unwrap_or(&full);
    hub.strip_prefix("library/").unwrap_or(hub).to_owned()
}

/// The image of an archive that has no layout: its manifest, where its blobs lie, and its name.
pub(super) type Read = (Content, Vec<(Digest, Section)>, Option<Reference>);

/// Reads the image of an archive that has no layout. The error is a reason.
pub(super) fn read(tar: &TarIndex, name: Option<&Reference>) -> Result<Read, String> {
    let text = tar.small(DOCKER_FILE, MOST_DOCUMENT)?;
    let text =
        text.ok_or_else(|| format!("it is no image: it has neither an index.json nor a {DOCKER_FILE}"))?;
    let entries: Vec<Entry> = serde_json::from_slice(&text).map_err(|e| format!("{DOCKER_FILE}: {e}"))?;
    let entry = chosen(&entries, name)?;
    if entry.layers.len() > MOST_LAYERS {
        return Err(format!("it has {} layers, more than {MOST_LAYERS}", entry.layers.len()));
    }
    let mut blobs = Vec::new();
    let mut describe = |path: &str, of: fn(&[u8]) -> &'static str| {
        let missing =
            || format!("{DOCKER_FILE} names '{}', which is not there", portend_core::shortened(path));
        let section = tar.get(path).ok_or_else(missing)?;
        let mut head = Vec::new();
        section.clone().take(4).read_to_end(&mut head).map_err(|e| e.to_string())?;
        let (size, digest) = Hasher::read(section.clone()).map_err(|e| e.to_string())?;
        blobs.push((digest.clone(), section));
        Ok::<_, String>(Descriptor::new(of(&head), digest, size))
    };
    let config = describe(&entry.config, |_| media::CONFIG)?;
    let layers = entry.layers.iter().map(|path| describe(path, layer_type)).collect::<Result<_, _>>()?;
    let media_type = Some(media::MANIFEST.to_owned());
    let manifest = Manifest {
        schema_version: 2,
        media_type,
        config,
        layers,
        artifact_type: None,
        subject: None,
        annotations: Default::default(),
    };
    let content = Content::written(Document::Image(manifest)).map_err(|e| e.to_string())?;
    let name = entry.repo_tags.iter().flatten().find_map(|tag| Reference::parse(tag).ok());
    Ok((content, blobs, name))
}

fn chosen<'a>(entries: &'a [Entry], name: Option<&Reference>) -> Result<&'a Entry, String> {
    fn tags(entry: &Entry) -> impl Iterator<Item = &String> {
        entry.repo_tags.iter().flatten()
    }
    let fits = |entry: &&Entry| match name {
        Some(name) => tags(entry).any(|tag| Reference::parse(tag).is_ok_and(|tag| tag == *name)),
        None => true,
    };
    let found: Vec<_> = entries.iter().filter(fits).collect();
    let names = || entries.iter().flat_map(tags).take(20).cloned().collect::<Vec<_>>().join(", ");
    match found[..] {
        [one] => Ok(one),
        [] => Err(format!("it holds no such image; its names: {}", names())),
        _ => Err(format!("it holds several images, name one: {}", names())),
    }
}

fn layer_type(head: &[u8]) -> &'static str {
    match head {
        [0x1f, 0x8b, ..] => media::LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media::LAYER_ZSTD,
        _ => media::LAYER,
    }
}
