//! For which system and processor an image is, and which of several images fits.

use portend_core::shortened;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Descriptor, Index};
use crate::error::ImageError;

/// A system, a processor, and what is special about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// In Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Such as `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What else was said.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { os, architecture, variant, .. } = self;
        match variant {
            Some(variant) => write!(f, "{os}/{architecture}/{variant}"),
            None => write!(f, "{os}/{architecture}"),
        }
    }
}

impl Platform {
    /// Linux on a processor.
    pub fn linux(architecture: &str) -> Self {
        let (os, architecture) = ("linux".to_owned(), architecture.to_owned());
        Self { os, architecture, variant: None, other: Map::new() }
    }

    /// The one this program was built for, as far as images are concerned.
    pub fn here() -> Self {
        Self::linux(if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" })
    }

    /// Reads `linux/arm64` or `linux/arm64/v8`.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |part: &&str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            !part.is_empty() && part.bytes().all(fits)
        };
        match parts[..] {
            [os, architecture, ref variant @ ..] if parts.iter().all(plain) && variant.len() < 2 => {
                Ok(Self {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.first().map(|&variant| variant.to_owned()),
                    other: Map::new(),
                })
            }
            _ => Err(ImageError::Name(format!(
                "'{}' is not a platform: one such as linux/amd64 or linux/arm64/v8 is needed",
                shortened(text)
            ))),
        }
    }

    /// Whether an image for `self` is what `wanted` asks for.
    pub fn fits(&self, wanted: &Self) -> bool {
        // v8 is the only variant of arm64 that there was for long, so that many leave it out
        let variant = |platform: &Self| match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.map(str::to_owned),
        };
        let fits_variant =
            wanted.variant.is_none() && wanted.architecture != "arm64" || variant(self) == variant(wanted);
        self.os == wanted.os && self.architecture == wanted.architecture && fits_variant
    }

    /// The image of an index that fits; never one for something else.
    pub(crate) fn choose<'a>(&self, index: &'a Index, of: &str) -> Result<&'a Descriptor, ImageError> {
        let fitting = index.manifests.iter().find(|m| m.platform.as_ref().is_some_and(|p| p.fits(self)));
        fitting.ok_or_else(|| {
            let offered: Vec<_> = index.manifests.iter().filter_map(|m| m.platform.as_ref()).collect();
            let offered: Vec<_> = offered.iter().take(20).map(ToString::to_string).collect();
            ImageError::Absent(format!("{of} has no image for {self}; it has {}", offered.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_fits_itself_and_never_another_processor() {
        for (offered, wanted, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64", "linux/amd64", false),
            ("windows/amd64", "linux/amd64", false),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v9", "linux/arm64", false),
            ("linux/arm/v6", "linux/arm", true),
            ("linux/arm/v6", "linux/arm/v7", false),
        ] {
            let [offered, wanted] = [offered, wanted].map(|text| Platform::parse(text).unwrap());
            assert_eq!(offered.fits(&wanted), expected, "{offered} for {wanted}");
        }
        for text in ["", "linux", "linux/", "linux/a/b/c", "linux/amd 64"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }
}
