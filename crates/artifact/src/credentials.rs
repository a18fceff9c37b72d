//! The clouds' stores with the credentials that their own tools find: variables of the environment, files, the machine's
//! own. What the variables are called, the library knows; what it does not know is here.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{BackoffConfig, RetryConfig, StaticCredentialProvider};
use portend_core::{ArtifactError, Scheme, shortened, shortened_to};

use crate::agent::agents;
use crate::cloud::CloudStore;
use crate::connector::Connector;
use crate::settings::StoreSettings;
use crate::upload::PART;
use crate::variable::{self, check};

/// Google's emulator knows no uploads in parts.
const EMULATED: u64 = 256 << 20;

/// A request is made again after what passes, for so long.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(5),
        base: 3.0,
    };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(60) }
}

fn connector(settings: &StoreSettings) -> Result<Connector, ArtifactError> {
    Ok(Connector { clients: agents(settings)?, emulator: false })
}

fn wrong(error: &object_store::Error) -> ArtifactError {
    ArtifactError::Setting(error.to_string())
}

/// The variables whose names begin with one of these, as the library's names of settings.
fn variables<'s>(settings: &'s StoreSettings, prefix: &'s str) -> impl Iterator<Item = (String, &'s str)> {
    let ours = settings.environment.keys().filter(move |name| name.starts_with(prefix));
    ours.filter_map(|name| Some((name.to_ascii_lowercase(), settings.variable(name)?)))
}

/// An S3 bucket.
pub(crate) fn amazon(bucket: &str, settings: &StoreSettings) -> Result<CloudStore, ArtifactError> {
    let mut builder = AmazonS3Builder::new();
    let own = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let from_elsewhere = own.iter().any(|name| settings.variable(name).is_some())
        || settings.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some();
    for (name, value) in profile(settings)? {
        let is_key = name.starts_with("aws_");
        if let Ok(key) = name.parse()
            && !(is_key && from_elsewhere)
        {
            check(&format!("{name} in the files of AWS's tools"), &name, &value)?;
            builder = builder.with_config(key, value);
        }
    }
    for (name, value) in variables(settings, "AWS_") {
        if let Ok(key) = name.parse() {
            check(&name.to_ascii_uppercase(), &name, value)?;
            builder = builder.with_config(key, value);
        }
    }
    let endpoint =
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| settings.variable(name));
    let builder =
        builder.with_bucket_name(bucket).with_retry(retries()).with_http_connector(connector(settings)?);
    let store = builder.build().map_err(|e| wrong(&e))?;
    Ok(CloudStore {
        store: Arc::new(store),
        scheme: Scheme::S3,
        place: format!("s3://{bucket}"),
        remedy: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role give them; \
                 AWS_SKIP_SIGNATURE=true asks without",
        identity: format!("{} s3://{bucket}", endpoint.unwrap_or_default()),
        whole: PART,
        notes: settings.notes.clone(),
    })
}

/// What the files of AWS's tools say for the profile that is meant: of keys, region, endpoint.
fn profile(settings: &StoreSettings) -> Result<Vec<(String, String)>, ArtifactError> {
    const WANTED: [&str; 5] =
        ["aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region", "endpoint_url"];
    let named = settings.variable("AWS_PROFILE");
    let name = named.unwrap_or("default");
    let file = |variable: &str, default: &str| {
        let given = settings.variable(variable).map(Into::into);
        given.or_else(|| Some(settings.home()?.join(".aws").join(default)))
    };
    let config = file("AWS_CONFIG_FILE", "config").map(|path| (path, format!("profile {name}")));
    let keys = file("AWS_SHARED_CREDENTIALS_FILE", "credentials").map(|path| (path, name.to_owned()));
    let mut found = Vec::new();
    let mut is_there = false;
    for (path, section) in config.into_iter().chain(keys) {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for title in [&section, name] {
            if let Some(entries) = section_of(&text, title) {
                is_there = true;
                let wanted = |(key, value): &(String, String)| WANTED.contains(&&**key) && !value.is_empty();
                found.extend(entries.into_iter().filter(wanted));
            }
        }
    }
    match named {
        Some(name) if !is_there => Err(ArtifactError::Setting(format!(
            "AWS_PROFILE is '{}', and the files of AWS's tools have no such profile",
            portend_core::shortened(name)
        ))),
        _ => Ok(found),
    }
}

/// The entries of a section of an INI file.
fn section_of(text: &str, title: &str) -> Option<Vec<(String, String)>> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = name.split_ascii_whitespace().eq(title.split_ascii_whitespace());
            if inside {
                found.get_or_insert_with(Vec::new);
            }
        } else if let (true, Some((key, value)), Some(found)) = (inside, line.split_once('='), &mut found) {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

/// A bucket of Google Cloud Storage.
pub(crate) fn google(bucket: &str, settings: &StoreSettings) -> Result<CloudStore, ArtifactError> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in variables(settings, "GOOGLE_") {
        if let Ok(key) = name.parse() {
            check(&name.to_ascii_uppercase(), &name, value)?;
            builder = builder.with_config(key, value);
        }
    }
    let host = settings.variable("STORAGE_EMULATOR_HOST").unwrap_or_default();
    let emulator = Some(host).filter(|host| !host.is_empty()).map(|host| match host.contains("://") {
        true => host.trim_end_matches('/').to_owned(),
        false => format!("http://{host}"),
    });
    if let Some(url) = &emulator {
        variable::url("STORAGE_EMULATOR_HOST", host, url)?;
        builder = builder.with_base_url(url).with_skip_signature(true);
    }
    let is_anonymous =
        settings.variable("GOOGLE_SKIP_SIGNATURE").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if is_anonymous || emulator.is_some() {
        // the library asks for a token even where it would not send one
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
    }
    let is_emulated = emulator.is_some();
    let connector = Connector { emulator: is_emulated, ..connector(settings)? };
    let builder = builder.with_bucket_name(bucket).with_retry(retries()).with_http_connector(connector);
    let store = builder.build().map_err(|e| wrong_key(&e, settings))?;
    Ok(CloudStore {
        store: Arc::new(store),
        scheme: Scheme::Gs,
        place: format!("gs://{bucket}"),
        remedy: "GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login, or the machine's service \
                 account give them; GOOGLE_SKIP_SIGNATURE=true asks without",
        identity: format!("{} gs://{bucket}", emulator.unwrap_or_default()),
        whole: if is_emulated { EMULATED } else { PART },
        notes: settings.notes.clone(),
    })
}

/// What was wrong with Google's settings: most often the file with the key.
fn wrong_key(error: &object_store::Error, settings: &StoreSettings) -> ArtifactError {
    const FILES: [&str; 3] =
        ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS"];
    let text = error.to_string();
    // what is wrong elsewhere is told by another part of the library
    let Some(reason) = text.strip_prefix("Generic GCS error: ") else { return wrong(error) };
    let reason = shortened_to(200, reason);
    let needed = "a service account's or a user's key as JSON is needed";
    let file = FILES.iter().find_map(|name| Some((name, settings.variable(name)?)));
    ArtifactError::Setting(match file {
        // the key itself is not shown
        _ if settings.variable("GOOGLE_SERVICE_ACCOUNT_KEY").is_some() => {
            format!("GOOGLE_SERVICE_ACCOUNT_KEY holds no key that can be used: {reason}; {needed}")
        }
        Some((name, path)) => {
            let path = shortened(path);
            format!("{name} is '{path}', which holds no key that can be used: {reason}; {needed}")
        }
        None => format!("{reason}; gcloud auth application-default login writes such a file"),
    })
}

/// A container of Azure Blob Storage.
pub(crate) fn azure(container: &str, settings: &StoreSettings) -> Result<CloudStore, ArtifactError> {
    let mut builder = MicrosoftAzureBuilder::new();
    // what Azure's own command line calls them
    let others = [
        ("AZURE_STORAGE_ACCOUNT", "azure_storage_account_name"),
        ("AZURE_STORAGE_KEY", "azure_storage_account_key"),
    ];
    let others = others.iter().filter_map(|(name, key)| {
        Some(((*name).to_owned(), (*key).to_owned(), settings.variable(name)?.to_owned()))
    });
    const CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
    let connection = settings.variable(CONNECTION).map(connection).unwrap_or_default();
    let connection = connection.into_iter().map(|(key, value)| {
        let part = key.trim_start_matches("azure_storage_").replace('_', " ");
        (format!("the {part} in {CONNECTION}"), key, value)
    });
    let given = variables(settings, "AZURE_")
        .map(|(name, value)| (name.to_ascii_uppercase(), name, value.to_owned()));
    for (source, name, value) in connection.chain(others).chain(given) {
        if let Ok(key) = name.parse() {
            check(&source, &name, &value)?;
            builder = builder.with_config(key, value);
        }
    }
    let builder = builder
        .with_container_name(container)
        .with_retry(retries())
        .with_http_connector(connector(settings)?);
    let store = builder.build().map_err(|e| match e.to_string() {
        text if text.contains("Account must be specified") => ArtifactError::Setting(format!(
            "az://{container} is in no account: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING"
        )),
        text => ArtifactError::Setting(text),
    })?;
    Ok(CloudStore {
        store: Arc::new(store),
        scheme: Scheme::Az,
        place: format!("az://{container}"),
        remedy: "AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, a workload or managed \
                 identity give them; AZURE_SKIP_SIGNATURE=true asks without",
        identity: format!("az://{container}"),
        whole: PART,
        notes: None,
    })
}

/// The parts of a connection string, as the library's settings.
fn connection(text: &str) -> Vec<(String, String)> {
    let pairs: Vec<_> = text.split(';').filter_map(|pair| pair.trim().split_once('=')).collect();
    let get = |name: &str| {
        pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| (*value).to_owned())
    };
    if get("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return vec![("azure_storage_use_emulator".to_owned(), "true".to_owned())];
    }
    let endpoint = get("BlobEndpoint").or_else(|| {
        let (account, suffix) = (get("AccountName")?, get("EndpointSuffix")?);
        let protocol = get("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
        Some(format!("{protocol}://{account}.blob.{suffix}"))
    });
    let found = [
        ("azure_storage_account_name", get("AccountName")),
        ("azure_storage_account_key", get("AccountKey")),
        ("azure_storage_sas_token", get("SharedAccessSignature")),
        ("azure_storage_endpoint", endpoint.map(|url| url.trim_end_matches('/').to_owned())),
    ];
    found.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_names_account_key_and_endpoint() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = connection(text);
            let found: Vec<_> =
                found.iter().map(|(key, value)| (&key["azure_storage_".len()..], &**value)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
            &[
                ("account_name", "acc"),
                ("account_key", "a2V5=="),
                ("endpoint", "https://acc.blob.core.windows.net"),
            ],
        );
        check(
            "BlobEndpoint=http://127.0.0.1:1/acc/;AccountName=acc;SharedAccessSignature=sv=1&sig=x%3D",
            &[
                ("account_name", "acc"),
                ("sas_token", "sv=1&sig=x%3D"),
                ("endpoint", "http://127.0.0.1:1/acc"),
            ],
        );
        check("UseDevelopmentStorage=true", &[("use_emulator", "true")]);
        check("nonsense", &[]);
    }

    #[test]
    fn a_profile_is_a_section_of_the_files_of_aws() {
        let text =
            "[default]\naws_access_key_id = A\n# x = y\n[profile  ops]\nregion=eu-west-1\n[ops]\nb = c=d\n";
        let check = |title: &str, expected: Option<&[(&str, &str)]>| {
            let found = section_of(text, title);
            let found: Option<Vec<_>> =
                found.as_ref().map(|found| found.iter().map(|(key, value)| (&**key, &**value)).collect());
            assert_eq!(found.as_deref(), expected, "{title}");
        };
        check("default", Some(&[("aws_access_key_id", "A")]));
        check("profile ops", Some(&[("region", "eu-west-1")]));
        check("ops", Some(&[("b", "c=d")]));
        check("none", None);
    }
}
