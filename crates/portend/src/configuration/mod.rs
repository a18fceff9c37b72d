//! The configuration of `portend serve`: what can be set (`settings.rs`, `monitoring.rs`), where it may stand
//! (`sources.rs`, `flags.rs`), what it may be (`values.rs`), and how it is shown (`print.rs`). Nothing here reads a
//! file or the environment; `serve.rs` does.

mod draft;
mod flags;
mod form;
mod monitoring;
#[cfg(test)]
mod page;
mod platforms;
mod print;
mod settings;
mod sources;
mod stores;
#[cfg(test)]
mod tests;
mod traces;
mod values;

use std::net::IpAddr;

use draft::Draft;
pub(crate) use draft::Stores;
use portend_server::Config;

pub(crate) use flags::Flags;
pub(crate) use print::{json, table};
use settings::{Setting, Unset, settings};
use sources::Origin;
pub(crate) use sources::{Sources, may_be_setting, parse_environment_file, parse_portend_file};
use values::{Given, Value};

use crate::package::arguments::TrustArguments;

/// Names another file of variables than the default one.
pub(crate) const ENVIRONMENT_FILE: &str = "PORTEND_ENVIRONMENT_FILE";

/// What holds, and where it comes from.
pub(crate) struct Effective {
    pub(crate) config: Config,
    /// Key files are not read yet.
    pub(crate) trust: TrustArguments,
    /// The store is not opened yet.
    pub(crate) stores: Stores,
    entries: Vec<Entry>,
    /// Lines that the operator should see.
    pub(crate) notices: Vec<String>,
    /// A line for the operator of a server that takes uploads.
    pub(crate) open: Option<String>,
}

impl Effective {
    /// Where these settings were set, as far as they were; a path that was typed speaks for itself.
    pub(crate) fn places(&self, names: &[&str]) -> String {
        let typed = Origin::Flag("PATH".to_owned());
        let named = self.entries.iter().filter(|entry| names.contains(&entry.setting.name));
        let set =
            named.map(|entry| &entry.origin).filter(|origin| ![&Origin::Default, &typed].contains(origin));
        set.map(Origin::to_string).collect::<Vec<_>>().join(", ")
    }
}

struct Entry {
    setting: &'static Setting,
    value: Option<Value>,
    origin: Origin,
}

/// Takes each setting from the source that wins and checks them all. `read` gives the text of a file that a setting
/// names. The error has a line for each setting that cannot be used.
pub(crate) fn resolve(
    sources: &Sources,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Effective, String> {
    let mut draft = Draft { on_sagemaker: sources.on_sagemaker(), ..Draft::new() };
    let mut entries = Vec::new();
    let mut wrong = Vec::new();
    for setting in settings() {
        let Some((given, origin)) = sources.find(setting) else { continue };
        match apply(setting, &given, &origin, &mut draft) {
            Ok(value) => entries.push(Entry { setting, value: Some(value), origin }),
            Err(error) => wrong.push(error),
        }
    }
    let explicit = entries.len();
    let unset: Vec<_> =
        settings().filter(|setting| entries.iter().all(|entry| entry.setting.name != setting.name)).collect();
    // after all that is set: some defaults follow from it
    for setting in unset {
        let value = default(setting, &mut draft);
        entries.push(Entry { setting, value, origin: Origin::Default });
    }
    let set = |name: &str| {
        let entry = entries[..explicit].iter().find(|entry| entry.setting.name == name);
        entry.map(|entry| entry.origin.to_string())
    };
    wrong.extend(draft.finish(&set, read));
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let place = |entry: &Entry| settings().position(|setting| setting.name == entry.setting.name);
    entries.sort_by_key(place);
    let notices = notices(&draft, sources, &entries);
    let open = open_to_all(&draft.config);
    let Draft { config, trust, stores, .. } = draft;
    Ok(Effective { config, trust, stores, entries, notices, open })
}

fn apply(setting: &Setting, given: &Given, origin: &Origin, draft: &mut Draft) -> Result<Value, String> {
    if setting.secret && matches!(origin, Origin::Flag(_)) && shown(given).contains("-----BEGIN") {
        return Err(format!(
            "{origin} takes a path: others on this machine can read what a command is given"
        ));
    }
    setting.kind.apply(given, draft).map_err(|needed| match setting.secret {
        true => format!("{origin} is not usable (it is secret and not shown): {needed}"),
        false => {
            format!("{origin} is '{}': {needed}, for instance {}", shortened(&shown(given)), setting.example)
        }
    })
}

fn shown(given: &Given) -> String {
    match given {
        Given::One(text) => text.clone(),
        Given::Many(texts) => texts.join(" "),
    }
}

/// The start of a text, on one line.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    let start: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() { format!("{start}…") } else { start }
}

/// Applies a default, whose text the table has; a test applies all of them.
fn default(setting: &Setting, draft: &mut Draft) -> Option<Value> {
    let text = match setting.default {
        Unset::Is(text) => Some(text.to_owned()),
        Unset::Nothing => None,
        Unset::Follows(_, follow) => follow(draft),
    };
    setting.kind.apply(&Given::One(text?), draft).ok()
}

fn notices(draft: &Draft, sources: &Sources, entries: &[Entry]) -> Vec<String> {
    let mut lines = Vec::new();
    let unknown = sources.unknown();
    if !unknown.is_empty() {
        lines.push(format!("warning: there are no such settings, they are ignored: {}", unknown.join(", ")));
    }
    if draft.monitoring {
        lines.push(
            "WARNING: PREDICTION_API_MONITORING_ENABLED is true, but predictions are NOT recorded: monitoring records \
             are not yet spooled"
                .to_owned(),
        );
    }
    if draft.agent {
        lines.push(
            "WARNING: MONITORING_AGENT is true, but there is no agent yet: nothing is reported".to_owned(),
        );
    }
    let ignored = entries.iter().filter(|entry| {
        let without = monitoring::WITHOUT_EFFECT.iter().any(|setting| setting.name == entry.setting.name);
        without && entry.origin != Origin::Default
    });
    lines.extend(ignored.map(|entry| format!("{} has no meaning here and is ignored", entry.origin)));
    lines
}

/// What is dangerous where packages can be uploaded.
fn open_to_all(config: &Config) -> Option<String> {
    let open = !is_loopback(&config.host) && !config.read_only && config.token.is_none();
    open.then(|| {
        format!(
            "warning: whoever reaches {} may score, upload and delete models: set a token (PORTEND_TOKEN, \
             --token-file) or --read-only",
            config.host
        )
    })
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
