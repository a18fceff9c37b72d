//! `portend artifact`: files wherever they lie. Prints what became of them; how stores are asked is the artifact crate's
//! business.

pub(crate) mod arguments;
pub(crate) mod place;

use std::fs::File;
use std::io::{Write, stdout};
use std::time::SystemTime;

use portend_artifact::{FileContent, ReceivedFile};
use portend_core::{Access, Artifact, ArtifactError, ArtifactStore, ArtifactUrl, Scheme};
use serde_json::json;

use crate::CommandError;
use crate::package::arguments::Form;
use crate::package::{print, table};
use arguments::{ArtifactCommand, CpArguments, LsArguments, PresignArguments, RmArguments};
use place::{failed, object, prefix, store};

pub(crate) fn run(command: &ArtifactCommand) -> Result<(), CommandError> {
    match command {
        ArtifactCommand::Ls(arguments) => ls(arguments),
        ArtifactCommand::Cp(arguments) => cp(arguments),
        ArtifactCommand::Rm(arguments) => rm(arguments),
        ArtifactCommand::Presign(arguments) => presign(arguments),
    }
}

/// A line for each file as it is told of: a bucket may hold more than fits into memory.
fn ls(arguments: &LsArguments) -> Result<(), CommandError> {
    let url = prefix(&arguments.place)?;
    let store = store(&url)?;
    let mut out = stdout().lock();
    let mut show = |artifact: &Artifact| {
        let place = url.with_object(&artifact.key).to_string();
        let modified = artifact.modified.map(time).unwrap_or_default();
        let line = match arguments.form.output {
            Form::Table => {
                format!("{:>12}  {modified:20}  {}", artifact.size, table::printable(&place))
            }
            Form::Json => {
                json!({ "url": place, "bytes": artifact.size, "modified": modified, "version": artifact.version })
                    .to_string()
            }
        };
        writeln!(out, "{line}").map_err(CommandError::Print)
    };
    // one file, or what lies under it
    let one = if url.object.is_empty() { Err(ArtifactError::NotFound) } else { store.head(&url.object) };
    match one {
        Ok(artifact) => show(&artifact)?,
        Err(ArtifactError::NotFound) if !url.scheme.is_web() => {}
        Err(error) => return Err(failed(&url, &error)),
    }
    if url.scheme.is_web() {
        return Ok(());
    }
    for artifact in store.list(&url.object).map_err(|e| failed(&url, &e))? {
        show(&artifact.map_err(|e| failed(&url, &e))?)?;
    }
    Ok(())
}

fn time(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment).to_string()
}

fn cp(arguments: &CpArguments) -> Result<(), CommandError> {
    let (from, to) = (prefix(&arguments.from)?, prefix(&arguments.to)?);
    let (source, target) = (store(&from)?, store(&to)?);
    if !arguments.recursive {
        let from = object(&arguments.from)?;
        let folder = to.object.is_empty() || to.object.ends_with('/') || is_folder(&to);
        let to = if folder { to.join(from.name()) } else { to };
        copy(&*source, &from, &*target, &to, arguments.force)
            .map_err(|error| if is_prefix(&*source, &from) { only_prefix(&from) } else { error })?;
        print(&format!("{to}\n"));
        return Ok(());
    }
    let mut count = 0_u64;
    let under = from.object.trim_end_matches('/').to_owned();
    let mut listed = source.list(&under).map_err(|e| failed(&from, &e))?.peekable();
    while let Some(artifact) = listed.next() {
        let artifact = artifact.map_err(|e| failed(&from, &e))?;
        let next = listed.peek().and_then(|next| next.as_ref().ok());
        let is_folder = to.scheme == Scheme::File && next.is_some_and(|next| lies_under(next, &artifact));
        // consoles make empty objects for folders
        if artifact.size == 0 && (is_folder || source.head(&artifact.key) == Err(ArtifactError::NotFound)) {
            continue;
        }
        let name = artifact.key.strip_prefix(&under).unwrap_or(&artifact.key).trim_start_matches('/');
        copy(&*source, &from.with_object(&artifact.key), &*target, &to.join(name), arguments.force)?;
        count += 1;
    }
    if count == 0 {
        return Err(failed(&from, &ArtifactError::NotFound));
    }
    print(&format!("{count} copied to {to}\n"));
    Ok(())
}

fn lies_under(artifact: &Artifact, folder: &Artifact) -> bool {
    artifact.key.strip_prefix(&folder.key).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether there is no such file, and some lie under its name.
fn is_prefix(store: &dyn ArtifactStore, url: &ArtifactUrl) -> bool {
    let key = url.object.trim_end_matches('/');
    !url.scheme.is_web()
        && store.head(key) == Err(ArtifactError::NotFound)
        && store.list(key).is_ok_and(|mut listed| listed.next().is_some_and(|found| found.is_ok()))
}

fn only_prefix(url: &ArtifactUrl) -> CommandError {
    CommandError::Artifact(format!("{url} is no file, but files lie under it: -r means all of them"))
}

fn is_folder(url: &ArtifactUrl) -> bool {
    url.scheme == Scheme::File && std::path::Path::new(&url.object).is_dir()
}

/// Copies one file. What is got is kept on this machine's disk on the way, so that an upload can be gone on with.
fn copy(
    source: &dyn ArtifactStore,
    from: &ArtifactUrl,
    target: &dyn ArtifactStore,
    to: &ArtifactUrl,
    force: bool,
) -> Result<(), CommandError> {
    let cannot = |source| CommandError::Io { what: "cannot keep what is got", source };
    let fetch = |mut file: &File| {
        let fetched = source.fetch(&from.object, None, u64::MAX, &mut file);
        fetched.map_err(|error| failed(from, &error))
    };
    let exists = |error: ArtifactError| match error {
        ArtifactError::Exists => {
            CommandError::Artifact(format!("{to} is there already: --force replaces it"))
        }
        error => failed(to, &error),
    };
    let put = |path: &std::path::Path| {
        let content = FileContent::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => failed(from, &ArtifactError::NotFound),
            _ => CommandError::Artifact(format!("{from}: {error}")),
        })?;
        target.write(&to.object, &content, force).map_err(exists)
    };
    if from.scheme == Scheme::File {
        return put(from.object.as_ref()).map(|_| ());
    }
    if to.scheme == Scheme::File {
        let path = std::path::Path::new(&to.object);
        if !force && path.exists() {
            return Err(exists(ArtifactError::Exists));
        }
        let received = ReceivedFile::begin(path).map_err(|error| failed(to, &error))?;
        fetch(received.file())?;
        return received.place(force).map_err(exists);
    }
    let kept = tempfile::NamedTempFile::new().map_err(cannot)?;
    fetch(kept.as_file())?;
    put(kept.path()).map(|_| ())
}

fn rm(arguments: &RmArguments) -> Result<(), CommandError> {
    let url = object(&arguments.place)?;
    let store = store(&url)?;
    let key = url.object.trim_end_matches('/');
    let deleted = if arguments.recursive {
        store.delete_prefix(key)
    } else {
        // so that a name that is mistyped is told of
        store.head(key).and_then(|_| store.delete(&[key.to_owned()])).map(|()| 1)
    };
    if deleted == Err(ArtifactError::NotFound) && is_prefix(&*store, &url) {
        return Err(only_prefix(&url));
    }
    let deleted = deleted.map_err(|error| failed(&url, &error))?;
    print(&format!("{deleted} deleted\n"));
    Ok(())
}

fn presign(arguments: &PresignArguments) -> Result<(), CommandError> {
    let url = object(&arguments.place)?;
    let access = if arguments.put { Access::Write } else { Access::Read };
    let signed = store(&url)?.sign(&url.object, access, arguments.expires).map_err(|e| failed(&url, &e))?;
    print(&format!("{signed}\n"));
    Ok(())
}
