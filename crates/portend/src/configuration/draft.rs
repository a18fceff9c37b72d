//! What settings write to, one after the other, and what no setting can know for itself: which of them need one
//! another, and which exclude one another.

use portend_server::{AssociationIdSettings, Config, Secret, TlsConfig};

use super::form;
use super::traces::Traces;
use super::values::Value;
use crate::package::arguments::TrustArguments;

/// What concerns object stores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stores {
    pub(crate) cache_dir: Option<String>,
    pub(crate) cache_disk: u64,
    pub(crate) ca_file: Option<String>,
}

/// A configuration that is being made.
pub(crate) struct Draft {
    pub(crate) config: Config,
    pub(crate) tls_enabled: bool,
    pub(crate) tls: TlsConfig,
    pub(crate) trust: TrustArguments,
    pub(crate) stores: Stores,
    pub(crate) token_file: Option<String>,
    pub(crate) monitoring: bool,
    pub(crate) agent: bool,
    pub(crate) association_id_column: Option<String>,
    pub(crate) allow_missing_ids: bool,
    pub(crate) traces: Traces,
    /// A variable of SageMaker's is set.
    pub(crate) on_sagemaker: bool,
}

impl Draft {
    pub(crate) fn new() -> Self {
        let mut config = Config::new("".into());
        config.cache.bytes = u64::MAX; // unless it is set, or its default follows
        let (key, none) = (Secret(String::new()), String::new);
        let tls =
            TlsConfig { certificate: none(), key, key_password: None, protocols: none(), ciphers: none() };
        Self {
            config,
            tls_enabled: false,
            tls,
            trust: TrustArguments::default(),
            stores: Stores::default(),
            token_file: None,
            monitoring: false,
            agent: false,
            association_id_column: None,
            allow_missing_ids: false,
            traces: Traces::default(),
            on_sagemaker: false,
        }
    }

    /// Completes the configuration and says what is wrong with it as a whole. `set` tells where a setting was set, if
    /// it was.
    pub(crate) fn finish(
        &mut self,
        set: &dyn Fn(&str) -> Option<String>,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Vec<String> {
        let ids =
            |column_name| AssociationIdSettings { column_name, allow_missing_values: self.allow_missing_ids };
        self.config.deployment.association_id_settings = self.association_id_column.take().map(ids);
        // the server looks at the texts
        self.config.tls = self.tls_enabled.then(|| self.tls.clone());
        let token = self.take_token(set, read).err();
        let traces = self.traces.finish(set).map(|traces| self.config.traces = traces).err();
        self.too_few_bodies(set).into_iter().chain(token).chain(traces).collect()
    }

    fn too_few_bodies(&self, set: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let (all, one) = (self.config.bodies_limit, self.config.body_limit);
        let told = |name: &str, bytes: usize| {
            format!("{} is {}", set(name).unwrap_or_else(|| name.to_owned()), Value::Size(bytes as u64))
        };
        let (all, one) = (all < one).then(|| (told("bodies-limit", all), told("body-limit", one)))?;
        Some(format!("{all} and {one}: all bodies together need room for one of the largest"))
    }

    fn take_token(
        &mut self,
        set: &dyn Fn(&str) -> Option<String>,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<(), String> {
        let Some(path) = &self.token_file else { return Ok(()) };
        let file = set("token-file").unwrap_or_default();
        if let Some(token) = set("token") {
            return Err(format!("{token} and {file} are both set: one of them is needed"));
        }
        let token = read(path).and_then(|text| token_of(&text));
        self.config.token = Some(token.map_err(|error| format!("{file} is '{path}': {error}"))?);
        Ok(())
    }
}

/// The token that a file holds.
fn token_of(text: &str) -> Result<Secret, String> {
    let token = text.trim_end_matches(['\r', '\n']);
    match (form::TOKEN.holds)(token) {
        true => Ok(Secret(token.to_owned())),
        false => Err(format!("the file must hold {} and nothing else", form::TOKEN.needed)),
    }
}
