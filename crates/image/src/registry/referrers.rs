//! What is about an image in a registry: by the registry's own list where it keeps one, else by a tag.

use super::client::Client;
use super::token::Scope;
use crate::digest::Digest;
use crate::document::{Content, Descriptor, Document, Index, MOST_DOCUMENT};
use crate::error::ImageError;
use crate::reference::Reference;
use crate::referrers::{MOST_REFERRERS, entry, listed, tag};

/// The most pages of a list.
const MOST_PAGES: usize = 20;

/// What a registry says of a manifest's referrers.
pub(super) fn read(
    client: &Client,
    reference: &Reference,
    subject: &Digest,
) -> Result<Vec<Descriptor>, ImageError> {
    let (repository, what) =
        (&reference.repository, format!("what is about {subject} in {}", reference.name()));
    let mut next = Some(client.url(&format!("/v2/{repository}/referrers/{subject}"))?);
    let mut found = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(url) = next else { return Ok(found) };
        let answer = client.get(&url, &Scope::pull(repository), &[])?;
        // how registries say that they do not know the question
        if matches!(answer.status, 400 | 404 | 405 | 501) && found.is_empty() {
            let index = by_tag(client, reference, subject)?;
            return index.map_or(Ok(Vec::new()), |index| listed(index, &what));
        }
        let answer = answer.expect(&[200], &what)?;
        next = answer.next_page(&url)?;
        let media_type = answer.media_type();
        let page = Content::parse(&what, &media_type, answer.text(MOST_DOCUMENT, &what)?)?;
        let Document::Index(index) = page.document else {
            return Err(ImageError::bad(what, "the registry gives no list"));
        };
        found.extend(listed(index, &what)?);
        if found.len() > MOST_REFERRERS {
            break;
        }
    }
    Err(ImageError::bad(what, format!("there are more than {MOST_REFERRERS}")))
}

/// The index under the tag.
fn by_tag(client: &Client, reference: &Reference, subject: &Digest) -> Result<Option<Index>, ImageError> {
    let named = Reference { tag: Some(tag(subject)), digest: None, ..reference.clone() };
    match super::pull::root(client, &named) {
        Ok(Content { document: Document::Index(index), .. }) => Ok(Some(index)),
        Ok(_) => Err(ImageError::bad(named.to_string(), "it is a manifest and no list of them")),
        Err(ImageError::Absent(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The list under the tag with one more entry; None where it has that one.
pub(super) fn longer(
    client: &Client,
    reference: &Reference,
    subject: &Digest,
    referrer: &Content,
) -> Result<Option<Content>, ImageError> {
    let mut index = by_tag(client, reference, subject)?.unwrap_or_else(|| Index::new(Vec::new()));
    if index.manifests.iter().any(|there| there.digest == referrer.descriptor.digest) {
        return Ok(None);
    }
    index.manifests.push(entry(referrer));
    Content::written(Document::Index(index)).map(Some)
}
