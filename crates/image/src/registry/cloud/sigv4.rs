//! Signatures of requests to Amazon, version 4: arithmetic over texts. The time is told.

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::aws::Keys;

/// A request with a body, and nothing in its query.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// Further headers that are signed, in small letters.
    pub(super) headers: &'a [(&'a str, String)],
    pub(super) body: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// Now, as `20150830T123600Z`.
    pub(super) time: &'a str,
}

impl Request<'_> {
    /// All headers that are sent: those that were signed, and the signature.
    pub(super) fn signed(&self, keys: &Keys) -> Vec<(&'static str, String)> {
        let mut own = vec![("x-amz-date", self.time.to_owned())];
        own.extend(keys.session.iter().map(|token| ("x-amz-security-token", token.clone())));
        let mut all: Vec<(&str, &str)> = vec![("host", self.host)];
        all.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
        all.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        all.sort_unstable();
        let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines = all.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect::<String>();
        let (method, path, body) = (self.method, self.path, hex(digest(&SHA256, self.body.as_bytes())));
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{body}");
        let day = self.time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hashed = hex(digest(&SHA256, canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", self.time);
        let first = format!("AWS4{}", keys.secret).into_bytes();
        let key = [day, self.region, self.service, "aws4_request", &text]
            .iter()
            .fold(first, |key, part| sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec());
        let credential = format!("{}/{scope}", keys.id);
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={}",
            hex(key)
        );
        own.push(("authorization", value));
        own
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, headers: &[(&str, String)], body: &str, session: Option<&str>, signature: &str) {
        let keys = Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session: session.map(str::to_owned),
        };
        let (host, path, region, service) = ("example.amazonaws.com", "/", "us-east-1", "service");
        let request =
            Request { method, host, path, headers, body, region, service, time: "20150830T123600Z" };
        let (_, value) = request.signed(&keys).pop().unwrap();
        assert!(value.ends_with(&format!("Signature={signature}")), "{value}");
    }

    /// The first two are cases of Amazon's published suite, the last was signed by botocore.
    #[test]
    fn requests_are_signed_as_amazon_signs_them() {
        check("GET", &[], "", None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        let form = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let body = "Param1=value1";
        check("POST", &form, body, None, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
        let headers = [
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken".to_owned()),
        ];
        check(
            "POST",
            &headers,
            "{}",
            Some("session"),
            "9829f3b4ebe50074347b7f21de9de12a9456d53da1712f148ca33480206082c1",
        );
    }
}
