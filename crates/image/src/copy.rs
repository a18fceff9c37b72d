//! Copies an image, with all images of an index, from any source to any target: blobs side by side, manifests after
//! what they name, the name last. Whatever fails on the way, the target's name never leads to something half.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Digest;
use crate::document::{Content, Descriptor, Document, Manifest, kind};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::progress::{Progress, Watched};
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
    /// How many manifests about it were copied.
    pub referrers: usize,
    /// The blobs that were sent, and their bytes.
    pub sent: (usize, u64),
    /// The blobs that the target had or could take from elsewhere, and their bytes.
    pub there: (usize, u64),
}

/// What of an image is copied.
#[derive(Default, Clone, Copy)]
pub struct CopyOptions<'a> {
    /// The image for this platform, where there are several. None: all of them.
    pub platform: Option<&'a Platform>,
    /// What is about the image as well, such as a bill of materials.
    pub referrers: bool,
    /// Who hears how far it is.
    pub progress: Option<&'a dyn Progress>,
}

/// Copies the image of a source.
pub fn copy(
    source: &dyn Source,
    target: &dyn Target,
    options: &CopyOptions<'_>,
) -> Result<Copied, ImageError> {
    let here = Platform::here();
    let mut root = chosen(source, options.platform)?;
    if let (true, Document::Index(index)) = (target.takes_one_image(), &root.document) {
        root = source.manifest(here.choose(index, &source.label())?)?;
    }
    let mut tree = Tree::default();
    tree.add(source, &root, 0)?;
    let referrers = if options.referrers { tree.referrers(source, &root)? } else { Vec::new() };
    if !referrers.is_empty() && !target.takes_referrers() {
        let reason = "it cannot hold what is about an image: name a registry, or an OCI layout with a tag";
        return Err(ImageError::Refused(format!("{}: {reason}", target.label())));
    }
    let (sent, there) = transfer(source, target, &tree.blobs, options.progress)?;
    for manifest in &tree.manifests {
        target.put_manifest(manifest)?;
    }
    target.finish(&root)?;
    for (subject, referrer) in &referrers {
        target.attach(subject, referrer)?;
    }
    let (digest, images, referrers) = (root.descriptor.digest, tree.images, referrers.len());
    Ok(Copied { digest, images, referrers, sent, there })
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
                self.add_blobs(manifest);
            }
            Document::Index(index) => {
                for child in &index.manifests {
                    self.child(source, child, depth)?;
                }
            }
        }
        Ok(())
    }

    fn add_blobs(&mut self, manifest: &Manifest) {
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if self.seen.insert(blob.digest.clone()) {
                self.blobs.push(blob.clone());
            }
        }
    }

    /// What the source has about any of the manifests, with the manifest that it is about.
    fn referrers(
        &mut self,
        source: &dyn Source,
        root: &Content,
    ) -> Result<Vec<(Digest, Content)>, ImageError> {
        let manifests = self.manifests.iter().chain([root]);
        let subjects: Vec<_> = manifests.map(|content| content.descriptor.digest.clone()).collect();
        let mut found = Vec::new();
        for subject in subjects {
            for referrer in source.referrers(&subject)? {
                let content = source.manifest(&referrer)?;
                // an index may be about an image as well; what it leads to would have to be followed
                let Document::Image(manifest) = &content.document else { continue };
                if manifest.subject.as_ref().is_none_or(|named| named.digest != subject) {
                    let reason = format!("{} is not about {subject}, as is said", referrer.digest);
                    return Err(ImageError::bad(source.label(), reason));
                }
                self.add_blobs(manifest);
                found.push((subject.clone(), content));
            }
        }
        Ok(found)
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

/// Sends a blob that is not there yet. False: it did not have to be sent.
fn put(
    source: &dyn Source,
    target: &dyn Target,
    blob: &Descriptor,
    progress: Option<&dyn Progress>,
) -> Result<bool, ImageError> {
    let Some(progress) = progress else { return Ok(!target.holds(blob)? && target.put(blob, source)?) };
    progress.begins(blob);
    let sent = !target.holds(blob)? && target.put(blob, &Watched { source, progress })?;
    progress.ends(blob, sent);
    Ok(sent)
}

type Count = (usize, u64);

/// Sends blobs, as many at a time as the target takes. The first failure ends all.
fn transfer(
    source: &dyn Source,
    target: &dyn Target,
    blobs: &[Descriptor],
    progress: Option<&dyn Progress>,
) -> Result<(Count, Count), ImageError> {
    let waiting = Mutex::new(blobs.iter());
    let failed = AtomicBool::new(false);
    let lane = || {
        let mut counts: (Count, Count) = Default::default();
        while !failed.load(Ordering::Relaxed) {
            let next = waiting.lock().unwrap_or_else(|e| e.into_inner()).next();
            let Some(blob) = next else { break };
            let done = put(source, target, blob, progress);
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
