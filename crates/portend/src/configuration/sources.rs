//! Where values come from, and which source wins. Texts of files are taken apart here and read elsewhere.

use std::collections::BTreeMap;

use super::settings::{Reach, Setting, settings};
use super::values::Given;

/// All sources. None of them is shown: they hold secrets.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    /// By the name of the setting.
    pub(crate) flags: BTreeMap<String, Given>,
    /// The variables of the process.
    pub(crate) environment: BTreeMap<String, String>,
    /// Variables in a file, and its path.
    pub(crate) environment_file: Option<(String, BTreeMap<String, String>)>,
    /// Settings by their name, and the file's path.
    pub(crate) portend_file: Option<(String, BTreeMap<String, Given>)>,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(String),
    Environment(&'static str),
    /// A variable in a file.
    EnvironmentFile(String, &'static str),
    /// A key in a file.
    PortendFile(String, &'static str),
    Default,
}

impl Sources {
    /// The value of a setting from the source that wins.
    pub(crate) fn find(&self, setting: &'static Setting) -> Option<(Given, Origin)> {
        let Setting { name, reach, .. } = setting;
        if let Some(given) = self.flags.get(*name) {
            let flag = if *reach == Reach::Positional { "PATH".to_owned() } else { format!("--{name}") };
            return Some((given.clone(), Origin::Flag(flag)));
        }
        if let Some((variable, text)) = variable(&self.environment, setting) {
            return Some((Given::One(text), Origin::Environment(variable)));
        }
        if let Some((path, entries)) = &self.environment_file
            && let Some((variable, text)) = variable(entries, setting)
        {
            return Some((Given::One(text), Origin::EnvironmentFile(path.clone(), variable)));
        }
        let (path, entries) = self.portend_file.as_ref()?;
        let given = entries.get(*name)?;
        Some((given.clone(), Origin::PortendFile(path.clone(), name)))
    }

    /// Whether SageMaker runs this: it sets variables of its own.
    pub(crate) fn on_sagemaker(&self) -> bool {
        self.environment.keys().any(|name| is_of_sagemaker(name))
    }

    /// Variables that look like settings and are none.
    pub(crate) fn unknown(&self) -> Vec<&str> {
        let in_file = self.environment_file.iter().flat_map(|(_, entries)| entries);
        let all = self.environment.iter().chain(in_file);
        let mut unknown: Vec<_> = all
            .filter(|(name, value)| is_ours(name) && !is_known(name) && !is_service_link(name, value))
            .map(|(name, _)| name.as_str())
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }
}

/// The first variable of a setting that says something.
fn variable(entries: &BTreeMap<String, String>, setting: &Setting) -> Option<(&'static str, String)> {
    setting.variables.iter().find_map(|variable| {
        let text = entries.get(*variable)?;
        (!text.trim().is_empty() && !is_service_link(variable, text)).then(|| (*variable, text.clone()))
    })
}

/// True for variables that are settings, or that somebody took for one.
pub(crate) fn may_be_setting(name: &str) -> bool {
    is_ours(name) || is_known(name) || is_of_sagemaker(name)
}

fn is_of_sagemaker(name: &str) -> bool {
    name.starts_with("SAGEMAKER_")
}

fn is_ours(name: &str) -> bool {
    ["PREDICTION_API_", "PORTEND_"].iter().any(|prefix| name.starts_with(prefix))
}

fn is_known(name: &str) -> bool {
    name == super::ENVIRONMENT_FILE || settings().any(|setting| setting.variables.contains(&name))
}

/// What Kubernetes sets for a service that is called as a prefix of ours: PORTEND_PORT=tcp://10.0.0.1:8080 and more.
fn is_service_link(name: &str, value: &str) -> bool {
    let in_name = ["_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_UDP", "_SCTP"];
    let in_value = ["tcp://", "udp://", "sctp://"];
    in_name.iter().any(|part| name.contains(part))
        || name.ends_with("_PORT") && in_value.iter().any(|start| value.starts_with(start))
}

/// The variables of a file of KEY=value lines; a later line goes before an earlier one. Errors name the line and not
/// what it holds.
pub(crate) fn parse_environment_file(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut entries = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| format!("line {}: KEY=value is needed", number + 1))?;
        entries.insert(name.to_owned(), unquoted(value).to_owned());
    }
    Ok(entries)
}

fn is_name(text: &str) -> bool {
    let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Without the one pair of quotes around it, if there is one.
fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

/// The settings of a Portend file. A key that is none is an error; errors do not show values.
pub(crate) fn parse_portend_file(text: &str) -> Result<BTreeMap<String, Given>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| match error.span() {
        Some(span) => {
            let line =
                text.as_bytes()[..span.start.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
            format!("line {}: not TOML: {}", line + 1, error.message())
        }
        None => format!("not TOML: {}", error.message()),
    })?;
    let entry = |(key, value): (String, toml::Value)| {
        let known = settings().find(|setting| setting.name == key && setting.reach != Reach::Variable);
        known.ok_or_else(|| format!("there is no setting '{}'", super::shortened(&key)))?;
        let given = given(value).ok_or_else(|| {
            format!("{key} is neither a text, a whole number, true or false, nor a list of texts")
        })?;
        Ok((key, given))
    };
    table.into_iter().map(entry).collect()
}

fn given(value: toml::Value) -> Option<Given> {
    Some(match value {
        toml::Value::String(text) => Given::One(text),
        toml::Value::Integer(number) => Given::One(number.to_string()),
        toml::Value::Boolean(truth) => Given::One(truth.to_string()),
        toml::Value::Array(values) => Given::Many(
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        ),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables_has_a_variable_a_line() {
        let check = |text: &str, expected: Result<&[(&str, &str)], &str>| {
            let found = parse_environment_file(text);
            let expected = expected.map(|entries| {
                entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
            });
            assert_eq!(found, expected.map_err(str::to_owned), "{text:?}");
        };
        check("", Ok(&[]));
        check("\n# A=1\n  # x\n\t\n", Ok(&[]));
        check("A=1\r\nB = 2 \n", Ok(&[("A", "1"), ("B", "2")]));
        check("A=b=c;d=e\n", Ok(&[("A", "b=c;d=e")]));
        check(
            "A='x y'\nB=\" \"\nC=''d''\nD=\"\nE='a\"",
            Ok(&[("A", "x y"), ("B", " "), ("C", "'d'"), ("D", "\""), ("E", "'a\"")]),
        );
        check("A=1\nA=2", Ok(&[("A", "2")]));
        check("\u{feff}A=#1", Ok(&[("A", "#1")]));
        check("A=1\n\nsecret\n", Err("line 3: KEY=value is needed"));
        check("export A=secret", Err("line 1: KEY=value is needed"));
        check("=secret", Err("line 1: KEY=value is needed"));
        check("1A=secret", Err("line 1: KEY=value is needed"));
    }

    #[test]
    fn a_portend_file_has_settings_by_their_names() {
        let text = "port = 9000\nread-only = true\ntarget = \"churn\"\ncors = [\"http://a\", \"http://b\"]\n";
        let found = parse_portend_file(text).unwrap_or_else(|e| panic!("{e}"));
        let given = |name: &str| match found.get(name) {
            Some(Given::One(text)) => text.clone(),
            Some(Given::Many(texts)) => texts.join("|"),
            None => "nothing".to_owned(),
        };
        assert_eq!(
            ["port", "read-only", "target", "cors"].map(given),
            ["9000", "true", "churn", "http://a|http://b"]
        );
    }

    #[test]
    fn a_portend_file_that_is_none_is_told_where_and_not_what() {
        let check = |text: &str, start: &str| {
            let error = parse_portend_file(text).map(|_| ()).unwrap_err();
            assert!(error.starts_with(start) && !error.contains("sesame"), "{error}");
        };
        check("prot = 1", "there is no setting 'prot'");
        check("monitoring-enabled = true", "there is no setting 'monitoring-enabled'");
        check("[token]\na = \"sesame\"", "token is neither");
        check("port = 1.5", "port is neither");
        check("token = [1]", "token is neither");
        check("\ntoken = sesame", "line 2: not TOML: ");
        check("token = \"sesame", "line 1: not TOML: ");
        check("token = \"open\" sesame", "line 1: not TOML: ");
        check("token = \"sesame\"\ntoken = \"sesame\"", "line 2: not TOML: ");
        check("token = \"\\sesame\"", "line 1: not TOML: ");
        check("token = 1sesame", "line 1: not TOML: ");
        check(&format!("token = {}", "[".repeat(100_000)), "line 1: not TOML: ");
    }

    #[test]
    fn what_kubernetes_says_of_a_service_called_portend_is_no_setting() {
        let environment = [
            ("PORTEND_PORT", "tcp://10.0.0.1:8080"),
            ("PORTEND_SERVICE_HOST", "10.0.0.1"),
            ("PORTEND_SERVICE_PORT_HTTP", "8080"),
            ("PORTEND_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PORTEND_TOKEN", "tcp://is-a-token-too"),
            ("PORTEND_TOKN", "x"),
            ("PREDICTION_API_WORKER", "1"),
            ("PREDICTION_API_WORKERS", "1"),
            ("PATH", "/bin"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let sources = Sources { environment, ..Sources::default() };
        assert_eq!(sources.unknown(), ["PORTEND_TOKN", "PREDICTION_API_WORKER"]);
        let is_set =
            |name: &str| sources.find(settings().find(|setting| setting.name == name).unwrap()).is_some();
        assert!(!is_set("port") && is_set("token"));
    }
}
