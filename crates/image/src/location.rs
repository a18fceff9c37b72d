//! Where an image lies or goes, as it is typed: a registry, an OCI layout, or an archive.

use std::path::PathBuf;

use portend_core::shortened;

use crate::error::ImageError;
use crate::reference::{Reference, is_tag};

/// The endings of archives that need no prefix.
const ENDINGS: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.zstd"];

/// A place for images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a registry.
    Registry(Reference),
    /// In a directory with an OCI layout, under a tag.
    Layout(PathBuf, Option<String>),
    /// In a tar archive, under a name.
    Archive(PathBuf, ArchiveKind, Option<Reference>),
}

/// Who can read an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// Programs that know the OCI's layout.
    Oci,
    /// `docker load`.
    Docker,
    /// Both.
    Both,
}

impl Location {
    /// Reads what was typed: the prefixes are skopeo's, a name that ends like an archive is one, and what has no
    /// prefix otherwise is the name of an image in a registry.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if let Some(name) = text.strip_prefix("docker://") {
            return Reference::parse(name).map(Self::Registry);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = split(rest)?;
            return match tag {
                Some(tag) if !is_tag(tag) => Err(ImageError::Name(format!(
                    "'{}' is not a tag, in '{}'",
                    shortened(tag),
                    shortened(text)
                ))),
                tag => Ok(Self::Layout(path, tag.map(str::to_owned))),
            };
        }
        for (prefix, kind) in [("oci-archive:", ArchiveKind::Oci), ("docker-archive:", ArchiveKind::Docker)] {
            if let Some(rest) = text.strip_prefix(prefix) {
                return Self::archive(rest, kind);
            }
        }
        let path = text.split(':').next().unwrap_or_default();
        if ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            return Self::archive(text, ArchiveKind::Both);
        }
        if text.starts_with(['/', '.']) {
            return Err(ImageError::Name(format!(
                "'{}' is a path of nothing known: an archive ends in {}, a directory is named as oci:DIRECTORY:TAG",
                shortened(text),
                ENDINGS.join(", ")
            )));
        }
        Reference::parse(text).map(Self::Registry)
    }

    fn archive(text: &str, kind: ArchiveKind) -> Result<Self, ImageError> {
        let (path, name) = split(text)?;
        Ok(Self::Archive(path, kind, name.map(Reference::parse).transpose()?))
    }
}

/// A path, and what stands behind its colon.
fn split(text: &str) -> Result<(PathBuf, Option<&str>), ImageError> {
    let (path, name) = text.split_once(':').map_or((text, None), |(path, name)| (path, Some(name)));
    if path.is_empty() {
        return Err(ImageError::Name(format!("'{}' names no path", shortened(text))));
    }
    Ok((path.into(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_its_form_says() {
        let name = |text| Reference::parse(text).unwrap();
        let archive = |path: &str, kind, name| Location::Archive(path.into(), kind, name);
        for (text, expected) in [
            ("team/churn:3", Location::Registry(name("team/churn:3"))),
            ("docker://h.example:5/churn", Location::Registry(name("h.example:5/churn"))),
            ("oci:out", Location::Layout("out".into(), None)),
            ("oci:/a/out:v1", Location::Layout("/a/out".into(), Some("v1".to_owned()))),
            ("./churn.tar", archive("./churn.tar", ArchiveKind::Both, None)),
            ("churn.tar.zst", archive("churn.tar.zst", ArchiveKind::Both, None)),
            ("a.tgz:team/churn:3", archive("a.tgz", ArchiveKind::Both, Some(name("team/churn:3")))),
            ("oci-archive:a", archive("a", ArchiveKind::Oci, None)),
            ("docker-archive:a.tar:x:1", archive("a.tar", ArchiveKind::Docker, Some(name("x:1")))),
        ] {
            assert_eq!(Location::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "oci:", "oci::v1", "oci:a:b:c", "./out", "/tmp/out", "a.tar:X", "docker://"] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
