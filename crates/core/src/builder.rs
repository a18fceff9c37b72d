//! What makes an image of a model: what it is asked and what it answers. How it is done is told elsewhere.

/// One image to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// The package or model file. None: the server alone, for models that are mounted.
    pub model: Option<String>,
    /// Where the image goes: a name in a registry, a layout or an archive.
    pub target: String,
}

/// An image that was made, and is where it was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The digest of its manifest or index, by which it can be deployed.
    pub digest: String,
    /// The bytes that had to be sent; the others were there already.
    pub sent: u64,
}

/// Makes images of models. The same request gives the same digest, whoever makes it and when; one that was made before
/// costs little and changes nothing.
pub trait Builder {
    /// Why an image was not made.
    type Error;

    /// Makes an image and brings it to its target. Before that the model was loaded and its samples were scored: one
    /// that would not be served is an error here.
    fn build(&self, request: &BuildRequest) -> Result<BuiltImage, Self::Error>;
}
