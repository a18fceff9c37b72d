//! The layer with the Python packages that a model brings a list of: made by uv of wheels alone, so that nothing of
//! them runs here, kept in a cache under what it is made of, and the same bytes on every machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use portend_image::{Compression, Digest, FileContent, Layer, LayerFile};
use serde::{Deserialize, Serialize};

use super::requirements::{Requirements, normal};
use crate::CommandError;

/// Where packages lie in the image.
pub(super) const FOLDER: &str = "opt/python/";
/// The oldest C library that wheels may need.
const PLATFORM: &str = "manylinux_2_28";
/// Changes when the bytes of a layer of the same packages do.
const FORM: &str = "1";

/// A layer of packages for one processor.
pub(super) struct Dependencies {
    pub(super) layer: Arc<Layer>,
    /// What was installed: names and versions.
    pub(super) packages: BTreeMap<String, String>,
}

/// What the cache says of a layer beside it.
#[derive(Serialize, Deserialize)]
struct Kept {
    media_type: String,
    digest: Digest,
    size: u64,
    diff_id: Digest,
    packages: BTreeMap<String, String>,
}

/// The layer of a list for a processor, out of the cache or made now.
pub(super) fn prepare(
    requirements: &Requirements,
    python: &str,
    architecture: &str,
    compression: Compression,
) -> Result<Dependencies, CommandError> {
    let (identity, version) = (requirements.identity(python), env!("CARGO_PKG_VERSION"));
    let key = format!("{FORM} {version} {identity} {architecture} {compression:?}");
    let kept = cache().map(|folder| folder.join(Digest::of(key.as_bytes()).hex()));
    if let Some(found) = kept.as_deref().and_then(open) {
        return Ok(found);
    }
    let made = make(requirements, python, architecture, compression)?;
    if let Some(path) = &kept {
        // a cache that cannot be written costs time and nothing else
        _ = keep(path, &made);
    }
    Ok(made)
}

fn cache() -> Option<PathBuf> {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given("XDG_CACHE_HOME").or_else(|| Some(given("HOME")?.join(".cache")))?;
    Some(folder.join("portend/layers"))
}

/// A layer of the cache, if it is whole.
fn open(path: &Path) -> Option<Dependencies> {
    let kept: Kept = serde_json::from_slice(&fs::read(path.with_extension("json")).ok()?).ok()?;
    let file = File::open(path.with_extension("layer")).ok()?;
    let digest = Digest::read(BufReader::new(file.try_clone().ok()?)).ok()?;
    let layer = Layer::new(file, &kept.media_type, kept.digest, kept.size, kept.diff_id).ok()?;
    (digest == layer.descriptor.digest)
        .then(|| Dependencies { layer: Arc::new(layer), packages: kept.packages })
}

/// Puts a layer into the cache, and last what makes it count.
fn keep(path: &Path, made: &Dependencies) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let descriptor = &made.layer.descriptor;
    let kept = Kept {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        diff_id: made.layer.diff_id.clone(),
        packages: made.packages.clone(),
    };
    let text = serde_json::to_vec(&kept).map_err(std::io::Error::other)?;
    let mut layer = made.layer.reader().map_err(std::io::Error::other)?;
    for (ending, content) in [("layer", &mut layer as &mut dyn Read), ("json", &mut &*text)] {
        let mut file = tempfile::Builder::new().prefix(".layer-").tempfile_in(folder)?;
        std::io::copy(content, &mut file)?;
        file.persist(path.with_extension(ending)).map_err(|e| e.error)?;
    }
    Ok(())
}

fn make(
    requirements: &Requirements,
    python: &str,
    architecture: &str,
    compression: Compression,
) -> Result<Dependencies, CommandError> {
    let io = |source| CommandError::Io { what: "cannot install Python packages", source };
    let scratch = tempfile::tempdir().map_err(io)?;
    let (list, folder) = (scratch.path().join("requirements.txt"), scratch.path().join("packages"));
    fs::write(&list, requirements.text()).map_err(io)?;
    install(&list, &folder, python, architecture)?;
    let mut found = Found::default();
    found.walk(&folder, "").map_err(io)?;
    let unlisted = requirements.unlisted(&found.packages);
    if !unlisted.is_empty() {
        return Err(CommandError::Package(format!(
            "the package's requirements.txt leaves out what its packages need, which would be another version on \
             another day; add to it:\n{}",
            unlisted.join("\n")
        )));
    }
    let layer = Layer::of(&found.files, compression)?;
    Ok(Dependencies { layer: Arc::new(layer), packages: found.packages })
}

fn install(list: &Path, folder: &Path, python: &str, architecture: &str) -> Result<(), CommandError> {
    let processor = if architecture == "arm64" { "aarch64" } else { "x86_64" };
    let outcome = Command::new("uv")
        .args(["pip", "install", "--quiet", "--only-binary", ":all:", "--link-mode", "copy"])
        .args(["--python-version", python, "--python-platform", &format!("{processor}-{PLATFORM}")])
        .arg("--target")
        .arg(folder)
        .arg("--requirement")
        .arg(list)
        .output();
    let done = outcome.map_err(|e| {
        CommandError::Setting(format!("cannot run uv, which installs Python packages: {e}; pip install uv"))
    })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(CommandError::Package(format!("uv cannot install the package's requirements.txt:\n{}", said.trim())))
}

/// What lies in a folder of packages, without what tells of this machine.
#[derive(Default)]
struct Found {
    files: Vec<LayerFile>,
    packages: BTreeMap<String, String>,
}

impl Found {
    fn walk(&mut self, folder: &Path, inside: &str) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let (path, inner) = (entry.path(), format!("{inside}{name}"));
            let kind = entry.file_type()?;
            // the programs in bin/ begin with the path of an interpreter here
            let of_this_machine = matches!(&*inner, "bin" | ".lock") || name == "__pycache__";
            if of_this_machine {
                continue;
            }
            if kind.is_dir() {
                if let Some((name, version)) =
                    name.strip_suffix(".dist-info").and_then(|n| n.rsplit_once('-'))
                {
                    self.packages.insert(normal(name), version.to_owned());
                }
                self.walk(&path, &format!("{inner}/"))?;
            } else if kind.is_file() {
                self.add(path, &inner)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, inner: &str) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let executable = fs::metadata(&path)?.permissions().mode() & 0o100 != 0;
        let content = if inner.ends_with(".dist-info/RECORD") {
            let text = fs::read_to_string(&path)?;
            let kept = text.lines().filter(|line| !line.starts_with("bin/") && !line.starts_with("../"));
            FileContent::Bytes(kept.map(|line| format!("{line}\n")).collect::<String>().into_bytes())
        } else {
            FileContent::Path(path)
        };
        self.files.push(LayerFile { path: format!("{FOLDER}{inner}"), executable, content });
        Ok(())
    }
}
