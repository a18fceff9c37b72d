//! Where an artifact lies: `s3://bucket/models/churn.mlpkg` and the like, taken apart.

use std::fmt;

use crate::shortened;

/// What kind of place a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A folder of this machine.
    File,
    /// Amazon S3, or another store that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
    /// A web server, without TLS.
    Http,
    /// A web server.
    Https,
}

impl Scheme {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 6] = [Self::File, Self::S3, Self::Gs, Self::Az, Self::Https, Self::Http];

    /// What stands before `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Whether it is a web server, of which nothing can be listed.
    pub fn is_web(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }
}

/// The place of one artifact, or, where its object is empty or a prefix is meant, of several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArtifactUrl {
    /// What kind of place.
    pub scheme: Scheme,
    /// The bucket or container; of a web server host and port; of a file nothing.
    pub bucket: String,
    /// The object's key, without a slash at its start; of a web server with the query; of a file its path with the slash.
    pub object: String,
}

/// Why a text is not the place of an artifact. The first three sentences are those of the artifact service of `mlp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactUrlError {
    /// Another kind of store.
    Scheme {
        /// What the URL has.
        got: String,
        /// What was expected.
        want: String,
    },
    /// No bucket.
    Bucket,
    /// No object.
    Object,
    /// What is no key of an artifact, with the reason.
    Key(String),
}

impl fmt::Display for ArtifactUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme { got, want } => {
                write!(
                    f,
                    "the scheme specified in the given URL is '{got}' but the expected scheme is '{want}'"
                )
            }
            Self::Bucket => f.write_str("the bucket in the given URL is an empty string"),
            Self::Object => f.write_str("the object in the given URL is an empty string"),
            Self::Key(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ArtifactUrlError {}

impl ArtifactUrl {
    /// Whether a text is meant as a URL and not as a path.
    pub fn is_url(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        })
    }

    /// Takes the URL of one artifact apart.
    pub fn parse(text: &str) -> Result<Self, ArtifactUrlError> {
        let url = Self::parse_prefix(text)?;
        if url.object.is_empty() { Err(ArtifactUrlError::Object) } else { Ok(url) }
    }

    /// The same where only one kind of store will do.
    pub fn parse_as(want: Scheme, text: &str) -> Result<Self, ArtifactUrlError> {
        let got = text.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if got != want.name() {
            let got = shortened(&got).into_owned();
            return Err(ArtifactUrlError::Scheme { got, want: want.name().to_owned() });
        }
        Self::parse(text)
    }

    /// Takes the URL of everything under a prefix apart: the object may be empty.
    pub fn parse_prefix(text: &str) -> Result<Self, ArtifactUrlError> {
        let (name, rest) = text.split_once("://").unwrap_or(("", text));
        let scheme = Scheme::parse(name).ok_or_else(|| ArtifactUrlError::Scheme {
            got: shortened(name).into_owned(),
            want: Scheme::ALL.map(Scheme::name).join("', '"),
        })?;
        if scheme == Scheme::File {
            return Self::file(rest);
        }
        let end = rest.find(|c: char| c == '/' || scheme.is_web() && c == '?').unwrap_or(rest.len());
        let (bucket, object) = rest.split_at(end);
        let object = object.trim_start_matches('/');
        if bucket.is_empty() {
            return Err(ArtifactUrlError::Bucket);
        }
        check_bucket(scheme, bucket)?;
        if !scheme.is_web() {
            check_key(object)?;
        }
        Ok(Self { scheme, bucket: bucket.to_owned(), object: object.to_owned() })
    }

    /// `file:///folder/x`: the host is empty or this one, the path is absolute.
    fn file(rest: &str) -> Result<Self, ArtifactUrlError> {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            let reason =
                format!("'file://{}' has no absolute path: three slashes are needed", shortened(rest));
            return Err(ArtifactUrlError::Key(reason));
        }
        check_key(path.trim_start_matches('/'))?;
        Ok(Self { scheme: Scheme::File, bucket: String::new(), object: path.to_owned() })
    }

    /// The same place with another object.
    #[must_use]
    pub fn with_object(&self, object: &str) -> Self {
        Self { object: object.to_owned(), ..self.clone() }
    }

    /// The place under this one that is called `name`.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self.object.trim_end_matches('/') {
            "" if self.scheme != Scheme::File => self.with_object(name),
            folder => self.with_object(&format!("{folder}/{name}")),
        }
    }

    /// The last part of the object, without a query.
    pub fn name(&self) -> &str {
        let object = if self.scheme.is_web() {
            self.object.split(['?', '#']).next().unwrap_or_default()
        } else {
            &self.object
        };
        let object = object.trim_end_matches('/');
        object.rsplit('/').next().unwrap_or(object)
    }
}

/// As it is typed; of a web server without the query and what stands before an `@`, which may be secret.
impl fmt::Display for ArtifactUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        match self.scheme {
            Scheme::File => write!(f, "file://{}", self.object),
            Scheme::Http | Scheme::Https => {
                let (path, query) =
                    self.object.split_once('?').map_or((&*self.object, ""), |(path, _)| (path, "?…"));
                let bucket = self.bucket.rsplit('@').next().unwrap_or_default();
                write!(f, "{scheme}://{bucket}/{path}{query}")
            }
            _ => write!(f, "{scheme}://{}/{}", self.bucket, self.object),
        }
    }
}

/// Buckets stand in host names and paths of requests.
fn check_bucket(scheme: Scheme, bucket: &str) -> Result<(), ArtifactUrlError> {
    let extra: &[u8] = if scheme.is_web() { b".-_:[]" } else { b".-_$" };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
    match bucket.bytes().all(is_plain) && bucket != "." && bucket != ".." {
        true => Ok(()),
        // what stands before an @ may be a password
        false if bucket.contains('@') => Err(ArtifactUrlError::Key(
            "a URL with a name or password before '@' is not taken: they would be seen in logs and process lists"
                .to_owned(),
        )),
        false => Err(ArtifactUrlError::Key(format!("'{}' is not the name of a bucket or host", shortened(bucket)))),
    }
}

/// Keys become paths of requests and files: one that leads elsewhere by being normalised is none.
fn check_key(key: &str) -> Result<(), ArtifactUrlError> {
    let bad = |reason: &str| {
        Err(ArtifactUrlError::Key(format!("'{}' is not the key of an artifact: {reason}", shortened(key))))
    };
    if key.len() > 1024 {
        return bad("it is longer than 1024 bytes");
    }
    if key.chars().any(char::is_control) {
        return bad("it holds control characters");
    }
    let parts = key.strip_suffix('/').unwrap_or(key).split('/');
    match key.is_empty() || parts.clone().all(|part| !matches!(part, "" | "." | "..")) {
        true => Ok(()),
        false => bad("its parts may not be empty, '.' or '..'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &Result<ArtifactUrl, ArtifactUrlError>) -> String {
        match url {
            Ok(url) => format!("{}|{}|{}", url.scheme.name(), url.bucket, url.object),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_url_is_scheme_bucket_and_object() {
        let check =
            |text: &str, expected: &str| assert_eq!(told(&ArtifactUrl::parse(text)), expected, "{text}");
        check("s3://models/churn/1.mlpkg", "s3|models|churn/1.mlpkg");
        check("gs://b/a b?c#d%20e", "gs|b|a b?c#d%20e");
        check("AZ://box//x", "az|box|x");
        check("file:///srv/m.mlpkg", "file||/srv/m.mlpkg");
        check("file://localhost/srv/m.mlpkg", "file||/srv/m.mlpkg");
        check("https://h.example:8443/a/m.mlpkg?X-Sig=1", "https|h.example:8443|a/m.mlpkg?X-Sig=1");
        check("http://[::1]:80/m", "http|[::1]:80|m");
    }

    #[test]
    fn what_is_no_url_of_an_artifact_is_told_in_the_words_of_the_artifact_service() {
        let check = |text: &str, expected: &str| {
            assert_eq!(told(&ArtifactUrl::parse_as(Scheme::Gs, text)), expected, "{text}");
        };
        check("gs://bucket/object", "gs|bucket|object");
        check(
            "s3://bucket/object",
            "the scheme specified in the given URL is 's3' but the expected scheme is 'gs'",
        );
        check("bucket/object", "the scheme specified in the given URL is '' but the expected scheme is 'gs'");
        check("gs:///object", "the bucket in the given URL is an empty string");
        check("gs://", "the bucket in the given URL is an empty string");
        check("gs://bucket", "the object in the given URL is an empty string");
        check("gs://bucket///", "the object in the given URL is an empty string");
    }

    #[test]
    fn hostile_keys_and_buckets_are_refused() {
        for text in [
            "s3://b/../x",
            "s3://b/a/../x",
            "s3://b/a//x",
            "s3://b/./x",
            "s3://b/a\n",
            "s3://../x",
            "s3://b?x/y",
            "s3://a@b/c",
            "https://user:secret@h/x",
            "https://h\\evil/x",
            "file://srv/m",
            "file:///srv/../m",
            &format!("s3://b/{}", "x".repeat(1025)),
        ] {
            let error = ArtifactUrl::parse(text).map(|url| url.to_string()).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.len() < 300, "{text}: {error}");
        }
    }

    #[test]
    fn only_what_has_a_scheme_is_a_url() {
        let found = ["s3://b", "x+y-1.z://", "://b", "a/b://c", "C:\\x", "models/", "1s://b"]
            .map(ArtifactUrl::is_url);
        assert_eq!(found, [true, true, false, false, false, false, false]);
    }

    #[test]
    fn a_prefix_is_joined_by_one_slash() {
        for (prefix, expected) in [
            ("s3://b", "s3://b/x"),
            ("s3://b/m/", "s3://b/m/x"),
            ("file:///", "file:///x"),
            ("file:///m", "file:///m/x"),
        ] {
            let url = ArtifactUrl::parse_prefix(prefix).map(|url| url.join("x").to_string());
            assert_eq!(url.as_deref(), Ok(expected), "{prefix}");
        }
        let url = ArtifactUrl::parse("https://h/m.mlpkg?sig=secret").unwrap();
        assert_eq!((url.name(), url.to_string().as_str()), ("m.mlpkg", "https://h/m.mlpkg?…"));
    }
}
