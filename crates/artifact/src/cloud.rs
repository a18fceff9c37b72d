//! A bucket or container of one of the three clouds, or of what speaks their protocols.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{Attribute, Attributes, GetOptions, GetResult, ObjectMeta, ObjectStore, PutResult};
use portend_core::{Access, Artifact, ArtifactError, ArtifactStore, Artifacts, Content, Scheme};
use tokio::runtime::{Builder, Runtime};

use crate::{trouble, upload, verified};

/// What the library calls for when all of it is wanted of one store.
pub(crate) trait Backend: ObjectStore + MultipartStore + Signer {}
impl<T: ObjectStore + MultipartStore + Signer> Backend for T {}

/// A bucket or container.
#[derive(Debug)]
pub(crate) struct CloudStore {
    pub(crate) store: Arc<dyn Backend>,
    pub(crate) scheme: Scheme,
    /// What it is called, as `s3://bucket`.
    pub(crate) place: String,
    /// What helps where credentials are missing or wrong.
    pub(crate) remedy: &'static str,
    /// Whose bucket it is: the same name elsewhere is another one.
    pub(crate) identity: String,
    /// The most bytes that go by one request.
    pub(crate) whole: u64,
    /// Where notes on uploads lie.
    pub(crate) notes: Option<PathBuf>,
}

/// What is kept beside an artifact. Azure takes letters and digits only.
const SHA256: &str = "portendsha256";

/// The longest that a signed URL lasts with any of the clouds.
const LONGEST_SIGNED: Duration = Duration::from_secs(7 * 24 * 3600);

impl CloudStore {
    /// Waits for the library. Its runtime lives as long as the call, and has no thread of its own.
    pub(crate) fn wait<T>(
        &self,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, ArtifactError> {
        trouble::note(None);
        runtime()?.block_on(work).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &object_store::Error) -> ArtifactError {
        trouble::explain(error, &self.place, self.remedy)
    }

    pub(crate) fn path(&self, key: &str) -> Result<Path, ArtifactError> {
        Path::parse(key).map_err(|error| ArtifactError::Failed(error.to_string()))
    }

    fn get(&self, key: &str, options: GetOptions) -> Result<GetResult, ArtifactError> {
        let path = self.path(key)?;
        self.wait(self.store.get_opts(&path, options))
    }

    fn pieces(&self, got: GetResult) -> Result<Pieces, ArtifactError> {
        let (place, remedy) = (self.place.clone(), self.remedy);
        let explain = Box::new(move |error: &object_store::Error| trouble::explain(error, &place, remedy));
        Ok(Pieces { runtime: runtime()?, pieces: got.into_stream(), piece: Bytes::new(), explain })
    }

    /// What is known of an artifact that was just put.
    pub(crate) fn put(&self, key: &str, size: u64, sha256: &str, result: &PutResult) -> Artifact {
        let version = result.e_tag.as_deref().map(plain_tag).unwrap_or_default();
        let (key, sha256) = (key.to_owned(), Some(sha256.to_owned()));
        Artifact { key, size, modified: Some(SystemTime::now()), version, sha256 }
    }
}

fn runtime() -> Result<Runtime, ArtifactError> {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.map_err(|error| ArtifactError::Failed(format!("cannot wait for a store: {error}")))
}

/// What is said of an artifact when it is put.
pub(crate) fn attributes(sha256: &str) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(SHA256.into()), sha256.to_owned())])
}

fn artifact(meta: &ObjectMeta, attributes: Option<&Attributes>) -> Artifact {
    let sha256 = attributes.and_then(|attributes| attributes.get(&Attribute::Metadata(SHA256.into())));
    Artifact {
        key: meta.location.to_string(),
        size: meta.size,
        modified: Some(meta.last_modified.into()),
        version: meta.e_tag.as_deref().map_or_else(|| moment(meta), plain_tag),
        sha256: sha256.map(|value| value.to_string()),
    }
}

/// What stands for a version where there is no ETag.
fn moment(meta: &ObjectMeta) -> String {
    format!("{}-{}", meta.last_modified.timestamp(), meta.size)
}

/// An ETag as all stores' lists and answers have it in common.
fn plain_tag(tag: &str) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_owned()
}

impl ArtifactStore for CloudStore {
    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn head(&self, key: &str) -> Result<Artifact, ArtifactError> {
        match self.get(key, GetOptions { head: true, ..GetOptions::default() }) {
            Ok(got) => Ok(artifact(&got.meta, Some(&got.attributes))),
            // an answer to HEAD has no text that says why
            Err(ArtifactError::Denied(told)) => {
                let options = GetOptions { range: Some((0..1).into()), ..GetOptions::default() };
                let why = self.get(key, options).err();
                Err(why
                    .filter(|why| matches!(why, ArtifactError::Denied(_)))
                    .unwrap_or(ArtifactError::Denied(told)))
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, key: &str, from: u64) -> Result<(Artifact, Box<dyn Read + Send>), ArtifactError> {
        let range = (from > 0).then_some(object_store::GetRange::Offset(from));
        let got = self.get(key, GetOptions { range, ..GetOptions::default() })?;
        let found = artifact(&got.meta, Some(&got.attributes));
        Ok((found, Box::new(self.pieces(got)?)))
    }

    fn fetch(
        &self,
        key: &str,
        version: Option<&str>,
        most: u64,
        to: &mut dyn std::io::Write,
    ) -> Result<Artifact, ArtifactError> {
        let got = self.get(key, GetOptions::default())?;
        let found = artifact(&got.meta, Some(&got.attributes));
        if version.is_some_and(|version| version != found.version && version != moment(&got.meta)) {
            return Err(ArtifactError::Changed);
        }
        verified::copy(&found, &mut self.pieces(got)?, most, to)?;
        Ok(found)
    }

    fn write(&self, key: &str, content: &dyn Content, replace: bool) -> Result<Artifact, ArtifactError> {
        upload::run(self, key, content, replace)
    }

    fn list(&self, prefix: &str) -> Result<Artifacts<'_>, ArtifactError> {
        let prefix = self.path(prefix)?;
        let found = self.store.list(Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty()));
        let (runtime, mut found, mut ended) = (runtime()?, found, false);
        Ok(Box::new(std::iter::from_fn(move || {
            trouble::note(None);
            let next = if ended { None } else { runtime.block_on(found.next()) }?;
            ended = next.is_err();
            Some(next.map(|meta| artifact(&meta, None)).map_err(|error| self.explain(&error)))
        })))
    }

    fn delete(&self, keys: &[String]) -> Result<(), ArtifactError> {
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?;
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.store.delete_stream(paths);
        // each of them is asked for, so that none fails unseen
        let mut wrong = None;
        self.wait(async {
            while let Some(one) = deleted.next().await {
                wrong = wrong.take().or(one.err().filter(|error| !is_absent(error)));
            }
            Ok(())
        })?;
        wrong.map_or(Ok(()), |error| Err(self.explain(&error)))
    }

    fn sign(&self, key: &str, access: Access, expires: Duration) -> Result<String, ArtifactError> {
        if expires > LONGEST_SIGNED {
            let reason = "a signed URL lasts at most 7 days".to_owned();
            return Err(ArtifactError::Setting(reason));
        }
        let method = match access {
            Access::Read => Method::GET,
            Access::Write => Method::PUT,
        };
        let path = self.path(key)?;
        self.wait(self.store.signed_url(method, &path, expires)).map(|url| url.to_string())
    }
}

fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// The bytes of an artifact. Where they break off, the library asks for the rest of the same version.
struct Pieces {
    runtime: Runtime,
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
    piece: Bytes,
    explain: Box<dyn Fn(&object_store::Error) -> ArtifactError + Send>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.pieces.next()) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(std::io::Error::other((self.explain)(&error))),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
