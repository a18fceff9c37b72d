//! What went wrong last while a store was asked, in the store's own words. The library above hands errors on as texts
//! with whole answers in them; here they are taken apart where they arrive.

use std::cell::RefCell;

use portend_core::{ArtifactError, shortened_to};

/// What the last request of this thread came to, if it was not a success.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Whom was asked, without path and query.
    pub(crate) origin: String,
    /// The status, or None where there was no answer.
    pub(crate) status: Option<u16>,
    /// The store's word for it, as `SignatureDoesNotMatch`.
    pub(crate) code: String,
    /// What it said beside, or what the transport said.
    pub(crate) message: String,
    /// The region that the bucket is in, where it is another.
    pub(crate) region: Option<String>,
    /// Whether what was asked tells a machine who it is.
    pub(crate) metadata: bool,
}

thread_local! {
    // an operation runs on the thread that called it, from its first request to its last
    static LAST: RefCell<Option<Trouble>> = const { RefCell::new(None) };
}

/// Takes note of what went wrong, or that nothing did.
pub(crate) fn note(trouble: Option<Trouble>) {
    LAST.with_borrow_mut(|last| *last = trouble);
}

/// What went wrong last on this thread.
pub(crate) fn last() -> Option<Trouble> {
    LAST.with_borrow(Clone::clone)
}

/// The longest text of a store's that is shown.
const MOST_SHOWN: usize = 300;

/// Code and message out of an error's XML or JSON, else the text itself.
pub(crate) fn told(body: &str) -> (String, String) {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(body) {
        let error = &json["error"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        return match error.as_str() {
            // of OAuth
            Some(code) => (code.to_owned(), shown(&text(&json["error_description"]))),
            None => (text(&error["status"]), shown(&text(&error["message"]))),
        };
    }
    let code = element(body, "Code").unwrap_or_default();
    let message = element(body, "Message").unwrap_or_else(|| match body.trim_start().starts_with('<') {
        true => String::new(),
        false => body.to_owned(),
    });
    (shown(&code), shown(&message))
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.trim().to_owned())
}

/// A foreign text as an error may show it: on one line and not long.
fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened_to(MOST_SHOWN, line.trim()).into_owned()
}

/// The error that `error` of the library stands for, told of the store called `place`.
pub(crate) fn explain(error: &object_store::Error, place: &str, remedy: &str) -> ArtifactError {
    use object_store::Error;
    let trouble = last();
    match (error, &trouble) {
        (_, Some(trouble)) if trouble.metadata => ArtifactError::Denied(format!(
            "no credentials for {place}: {remedy} (the machine's own were asked for at {}: {})",
            trouble.origin,
            trouble.told()
        )),
        (_, Some(Trouble { region: Some(region), .. })) => {
            ArtifactError::Setting(format!("{place} is in region {region}: set AWS_REGION={region}"))
        }
        (_, Some(trouble))
            if trouble.status == Some(404)
                && ["Bucket", "Container"].iter().any(|word| trouble.code.contains(word)) =>
        {
            ArtifactError::Failed(format!("{place} does not exist ({})", trouble.code))
        }
        (Error::NotFound { .. }, _) => ArtifactError::NotFound,
        (Error::AlreadyExists { .. }, _) => ArtifactError::Exists,
        (Error::Precondition { .. } | Error::NotModified { .. }, _) => ArtifactError::Changed,
        (Error::InvalidPath { source }, _) => ArtifactError::Failed(format!(
            "{place} holds a key that is not taken, so that nothing beside it can be listed: {}; rename or delete it \
             with the store's own tools, or name a prefix that it does not lie under",
            shown(&source.to_string())
        )),
        (Error::NotSupported { .. } | Error::NotImplemented { .. }, _) => {
            ArtifactError::Unsupported(format!("{place}: {}", shown(&error.to_string())))
        }
        (_, Some(trouble)) => trouble.error(place, remedy),
        (_, None) => ArtifactError::Failed(format!("{place}: {}", shown(&error.to_string()))),
    }
}

impl Trouble {
    /// What was said, in one line.
    pub(crate) fn told(&self) -> String {
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        let parts = [status, self.code.clone(), self.message.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn error(&self, place: &str, remedy: &str) -> ArtifactError {
        let told = self.told();
        match self.status {
            None => ArtifactError::Unreachable(format!("cannot ask {} for {place}: {told}", self.origin)),
            Some(400) if is_refusal(&self.code) => {
                ArtifactError::Denied(format!("{place} refuses the credentials: {told}; {remedy}"))
            }
            Some(401) => ArtifactError::Denied(format!("{place} refuses the credentials: {told}; {remedy}")),
            Some(403) if is_refusal(&self.code) => {
                ArtifactError::Denied(format!("{place} refuses the credentials: {told}; {remedy}"))
            }
            Some(403) => ArtifactError::Denied(format!("{place} does not allow it: {told}; {remedy}")),
            Some(status @ 300..=399) => ArtifactError::Failed(format!(
                "{place} is not at {}: it answers {status} and leads elsewhere; are region and endpoint right?",
                self.origin
            )),
            Some(500 | 502..=599 | 429) => {
                ArtifactError::Unreachable(format!("{place} cannot answer now: {told}"))
            }
            Some(_) => ArtifactError::Failed(format!("{place} refuses: {told}")),
        }
    }
}

/// Words of stores that mean wrong credentials, rather than a right one that may not do this.
fn is_refusal(code: &str) -> bool {
    const WORDS: [&str; 10] = [
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "InvalidToken",
        "ExpiredToken",
        "RequestTimeTooSkewed",
        "AuthenticationFailed",
        "AuthorizationHeaderMalformed",
        "invalid_grant",
        "invalid_client",
        "TokenRefreshRequired",
    ];
    WORDS.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stores_say_is_found_in_xml_json_and_text() {
        let check = |body: &str, code: &str, message: &str| {
            assert_eq!(told(body), (code.to_owned(), message.to_owned()), "{body}");
        };
        check(
            "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>The key\nis not there</Message></Error>",
            "NoSuchKey",
            "The key is not there",
        );
        check(
            r#"{"error":{"code":401,"message":"Anonymous caller","status":"UNAUTHENTICATED"}}"#,
            "UNAUTHENTICATED",
            "Anonymous caller",
        );
        check(r#"{"error":"invalid_grant","error_description":"bad"}"#, "invalid_grant", "bad");
        check("plain", "", "plain");
        check("<html>gateway</html>", "", "");
        check(&"x".repeat(1000), "", &format!("{}…", "x".repeat(300)));
    }
}
