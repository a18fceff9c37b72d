//! Copies an image, with all images of an index, from any source to any target: blobs side by side, manifests after
//! what they name, the name last. Whatever fails on the way, the target's name never leads to something half.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Digest;
use crate::document::{Content, Descriptor, Document, kind};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::store::{Source, Target};

/// How deep indexes may lie in indexes, and how many images there may be.
const MOST_DEPTH: usize = 3;
const MOST_IMAGES: usize = 500;

/// What was copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The manifest or index that the target's name now leads to.
    pub digest: Digest,
    /// How many images there are in it.
    pub images: usize,
    /// The blobs that were sent, and their bytes.
    pub sent: (usize, u64),
    /// The blobs that the target had or could take from elsewhere, and their bytes.
    pub there: (usize, u64),
}

/// Copies the image of a source, or the one for a platform where it has several.
pub fn copy(
    source: &dyn Source,
    target: &dyn Target,
    platform: Option<&Platform>,
) -> Result<Copied, ImageError> {
    let here = Platform::here();
    let mut root = chosen(source, platform)?;
    if let (true, Document::Index(index)) = (target.takes_one_image(), &root.document) {
        root = source.manifest(here.choose(index, &source.label())?)?;
    }
    let mut tree = Tree::default();
    tree.add(source, &root, 0)?;
    let (sent, there) = transfer(source, target, &tree.blobs)?;
    for manifest in &tree.manifests {
        target.put_manifest(manifest)?;
    }
    target.finish(&root)?;
    Ok(Copied { digest: root.descriptor.digest, images: tree.images, sent, there })
}

/// What a source names, or of that the image for a platform. An image for another one is not what was asked for.
pub(crate) fn chosen(source: &dyn Source, platform: Option<&Platform>) -> Result<Content, ImageError> {
    let root = source.root()?;
    match (&root.document, platform) {
        (_, None) => Ok(root),
        (Document::Index(index), Some(platform)) => source.manifest(platform.choose(index, &source.label())?),
        (Document::Image(manifest), Some(platform)) => {
            let config = source.small(&manifest.config)?;
            match serde_json::from_slice::<Platform>(&config) {
                Ok(found) if found.fits(platform) => Ok(root),
                Ok(found) => Err(ImageError::Absent(format!(
                    "{} is an image for {found}, not {platform}",
                    source.label()
                ))),
                Err(_) => Err(ImageError::bad(source.label(), "it does not say for which platform it is")),
            }
        }
    }
}

/// All that a manifest or index leads to.
#[derive(Default)]
struct Tree {
    images: usize,
    blobs: Vec<Descriptor>,
    manifests: Vec<Content>,
    seen: HashSet<Digest>,
}

impl Tree {
    fn add(&mut self, source: &dyn Source, content: &Content, depth: usize) -> Result<(), ImageError> {
        match &content.document {
            Document::Image(manifest) => {
                self.images += 1;
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    if self.seen.insert(blob.digest.clone()) {
                        self.blobs.push(blob.clone());
                    }
                }
            }
            Document::Index(index) => {
                for child in &index.manifests {
                    self.child(source, child, depth)?;
                }
            }
        }
        Ok(())
    }

    fn child(&mut self, source: &dyn Source, child: &Descriptor, depth: usize) -> Result<(), ImageError> {
        let bad = |reason: String| Err(ImageError::bad(source.label(), reason));
        if !self.seen.insert(child.digest.clone()) {
            return Ok(());
        }
        if kind(&child.media_type).is_none() {
            return bad(format!(
                "its index names a {}, which is no image",
                portend_core::shortened(&child.media_type)
            ));
        }
        if depth == MOST_DEPTH || self.manifests.len() == MOST_IMAGES {
            return bad(format!(
                "its indexes are deeper than {MOST_DEPTH} or name more than {MOST_IMAGES} images"
            ));
        }
        let content = source.manifest(child)?;
        self.add(source, &content, depth + 1)?;
        self.manifests.push(content);
        Ok(())
    }
}

type Count = (usize, u64);

/// Sends blobs, as many at a time as the target takes. The first failure ends all.
fn transfer(
    source: &dyn Source,
    target: &dyn Target,
    blobs: &[Descriptor],
) -> Result<(Count, Count), ImageError> {
    let waiting = Mutex::new(blobs.iter());
    let failed = AtomicBool::new(false);
    let lane = || {
        let mut counts: (Count, Count) = Default::default();
        while !failed.load(Ordering::Relaxed) {
            let next = waiting.lock().unwrap_or_else(|e| e.into_inner()).next();
            let Some(blob) = next else { break };
            let done = target.holds(blob).and_then(|there| Ok(!there && target.put(blob, source)?));
            let count = match done {
                Ok(true) => &mut counts.0,
                Ok(false) => &mut counts.1,
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            };
            *count = (count.0 + 1, count.1.saturating_add(blob.size));
        }
        Ok(counts)
    };
    let lanes = target.lanes().min(blobs.len());
    let ended: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let panicked = |_| Err(ImageError::bad(target.label(), "copying failed"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    ended.into_iter().try_fold(Default::default(), |sum: (Count, Count), counts| {
        let counts = counts?;
        let add = |a: Count, b: Count| (a.0 + b.0, a.1.saturating_add(b.1));
        Ok((add(sum.0, counts.0), add(sum.1, counts.1)))
    })
}
