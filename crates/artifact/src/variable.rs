//! What the values of stores' settings must look like. The library takes them as they are, and ends the process over some
//! when it makes a request of them: what is refused here never gets there.

use std::fs::File;
use std::io::Read;
use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portend_core::{ArtifactError, shortened};
use ureq::http::Uri;

/// Settings that are URLs end like this.
const URLS: [&str; 8] = [
    "endpoint",
    "endpoint_url",
    "endpoint_url_s3",
    "endpoint_url_sts",
    "credentials_full_uri",
    "base_url",
    "authority_host",
    "token_service_url",
];
/// Settings that become a part of a host or of a path end like this.
const WORDS: [&str; 4] = ["region", "account_name", "tenant_id", "authority_id"];

/// Azure's keys.
const KEYS: [&str; 3] = ["azure_storage_account_key", "azure_storage_access_key", "azure_storage_master_key"];
/// Settings that name a file of which a header is made.
const HEADER_FILE: &str = "container_authorization_token_file";
/// Settings that are a key of Google's, and those that name the file with it.
const GOOGLE_KEY: &str = "google_service_account_key";
const GOOGLE_FILES: [&str; 2] = ["google_service_account", "google_service_account_path"];
/// The most bytes of a file that are looked at.
const MOST_BYTES: u64 = 1 << 20;

/// Refuses a value of which no request can be made. `source` is what the user knows the setting by, `key` its name in the
/// library.
pub(crate) fn check(source: &str, key: &str, value: &str) -> Result<(), ArtifactError> {
    let key = key.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
    if ends(&URLS) && key != "azure_use_fabric_endpoint" {
        return url(source, value, value);
    }
    let file = || small_text(value);
    if key == GOOGLE_KEY {
        return base_url(source, value);
    }
    if GOOGLE_FILES.contains(&&*key) {
        return base_url(&format!("the file that {source} names"), &file());
    }
    let shown = shortened(value);
    // what may be secret is not shown
    let needed = if value.chars().any(char::is_control) && !key.ends_with("ca_certificate") {
        " holds a line break or another control character: set it without, as a text of one line".to_owned()
    } else if KEYS.contains(&&*key) && STANDARD.decode(value).is_err() {
        " is no key of a storage account: base64 is needed, as the portal shows it".to_owned()
    } else if key.ends_with(HEADER_FILE) && file().chars().any(char::is_control) {
        let holds = "which holds a line break or another control character: a token alone is needed";
        format!(" is '{shown}', {holds}")
    } else if ends(&WORDS) && !is_word(value) {
        format!(" is '{shown}': letters, digits, '-', '_' and '.' are taken")
    } else if key.ends_with("credentials_relative_uri") && !is_path(value) {
        format!(" is '{shown}': a path such as /v2/credentials is needed")
    } else {
        return Ok(());
    };
    Err(ArtifactError::Setting(format!("{source}{needed}")))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && format!("http://host{text}").parse::<Uri>().is_ok()
}

/// What a file holds; nothing where it cannot be read: then the library says why.
fn small_text(path: &str) -> String {
    let mut text = String::new();
    _ = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    text
}

/// A key of Google's may say where the store is.
fn base_url(source: &str, key: &str) -> Result<(), ArtifactError> {
    let key: serde_json::Value = serde_json::from_str(key).unwrap_or_default();
    match key["gcs_base_url"].as_str() {
        Some(value) => url(&format!("gcs_base_url in {source}"), value, value),
        None => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Refuses a URL that names no web server. `given` is what it was made of.
pub(crate) fn url(source: &str, given: &str, url: &str) -> Result<(), ArtifactError> {
    if is_server(url) {
        return Ok(());
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let example = Some(format!("http://{rest}")).filter(|guess| !url.contains("://") && is_server(guess));
    let example = example.as_deref().unwrap_or("http://127.0.0.1:9000");
    // what stands before an @ may be a password
    let shown = match given.contains('@') {
        true => "is no such URL".to_owned(),
        false => format!("is '{}'", shortened(given).escape_debug()),
    };
    Err(ArtifactError::Setting(format!("{source} {shown}: a URL such as {} is needed", shortened(example))))
}

fn is_server(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    let is_port = port.is_some_and(|port| {
        authority.as_str() == host || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = address.map_or_else(|| is_word(host), |address| address.parse::<Ipv6Addr>().is_ok());
    matches!(scheme, "http" | "https") && is_host && is_port
}

#[cfg(test)]
mod tests {
    #[test]
    fn settings_of_which_no_request_can_be_made_are_named_with_what_is_needed() {
        let check = |source: &str, value: &str, expected: &str| {
            let found = super::check(source, &source.to_ascii_lowercase(), value);
            let found = found.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(found, expected, "{source}={value}");
        };
        let needed = |source: &str, value: &str, example: &str| {
            check(source, value, &format!("{source} is '{value}': a URL such as {example} is needed"));
        };
        for value in ["http://127.0.0.1:9000", "https://minio.example/s3", "http://[::1]:9000/", "http://x_y"]
        {
            check("AWS_ENDPOINT_URL", value, "");
        }
        let example = "http://127.0.0.1:9000";
        for source in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT"] {
            needed(source, "127.0.0.1:9000", example);
            needed(source, "localhost:9001", "http://localhost:9001");
            needed(source, "garbage", "http://garbage");
            for value in ["http://", "http://bad host", "ftp://host", "//host", "http://h:99999", "http://h:"]
            {
                needed(source, value, example);
            }
            for value in ["http://a%b", "http://[::x]", "http://h:+1", "http://ü", "http://"] {
                needed(source, value, example);
            }
        }
        check(
            "AWS_ENDPOINT_URL",
            "http://me:sesame@host",
            "AWS_ENDPOINT_URL is no such URL: a URL such as http://127.0.0.1:9000 is needed",
        );
        check("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x?y=z", "");
        check(
            "AWS_ENDPOINT_URL",
            "http://a\nb",
            "AWS_ENDPOINT_URL is 'http://a\\nb': a URL such as http://127.0.0.1:9000 is needed",
        );
        check("AZURE_USE_FABRIC_ENDPOINT", "true", "");
        check("GOOGLE_SERVICE_ACCOUNT_KEY", "{\n}", "");
        for source in ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION", "AZURE_STORAGE_SAS_TOKEN"] {
            let expected =
                "holds a line break or another control character: set it without, as a text of one line";
            check(source, "ses\name", &format!("{source} {expected}"));
            check(source, "ses\u{7f}ame", &format!("{source} {expected}"));
        }
        let words = "letters, digits, '-', '_' and '.' are taken";
        check("AWS_REGION", "eu west", &format!("AWS_REGION is 'eu west': {words}"));
        check("AZURE_TENANT_ID", "a/b c", &format!("AZURE_TENANT_ID is 'a/b c': {words}"));
        let relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        check(
            "AZURE_STORAGE_ACCOUNT_KEY",
            "???",
            "AZURE_STORAGE_ACCOUNT_KEY is no key of a storage account: base64 is needed, as the portal shows it",
        );
        check(
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            r#"{"gcs_base_url":"garbage"}"#,
            "gcs_base_url in GOOGLE_SERVICE_ACCOUNT_KEY is 'garbage': a URL such as http://garbage is needed",
        );
        check(relative, "/v2/x?y=z", "");
        check(relative, "x y", &format!("{relative} is 'x y': a path such as /v2/credentials is needed"));
    }

    #[test]
    fn files_of_which_no_request_can_be_made_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |source: &str, content: &str, expected: &str| {
            let path = folder.path().join("file");
            std::fs::write(&path, content).unwrap();
            let found = super::check(source, &source.to_ascii_lowercase(), path.to_str().unwrap());
            let found = found.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(found.replace(path.to_str().unwrap(), "FILE"), expected, "{source}: {content}");
        };
        let token = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        let lines =
            "is 'FILE', which holds a line break or another control character: a token alone is needed";
        check(token, "token", "");
        check(token, "token\n", &format!("{token} {lines}"));
        let account = "GOOGLE_SERVICE_ACCOUNT";
        check(account, r#"{"gcs_base_url":"http://127.0.0.1:9000"}"#, "");
        check(
            account,
            r#"{"gcs_base_url":"garbage"}"#,
            "gcs_base_url in the file that GOOGLE_SERVICE_ACCOUNT names is 'garbage': a URL such as http://garbage is needed",
        );
    }
}
