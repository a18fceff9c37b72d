//! `config.yml` beside a package: what an operator says of a deployment. A fault in it is a warning, never a reason not
//! to serve the model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use portend_core::shortened_to;

use crate::config::DeploymentSettings;

/// The file's name.
pub(super) const NAME: &str = "config.yml";

/// It is a handful of lines.
const MOST_BYTES: u64 = 64 << 10;
/// What a hostile file may cost, aliases followed.
const MOST_NODES: usize = 10_000;

/// Reads the file; an error names line and key.
pub(super) fn read(path: &Path) -> Result<DeploymentSettings, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    file.map_err(|error| format!("{NAME} cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("{NAME} is larger than {} KiB", MOST_BYTES >> 10));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{NAME} is not UTF-8 text"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<DeploymentSettings, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MOST_NODES, max_events: 2 * MOST_NODES, max_depth: 64 },
    };
    let config: Option<DeploymentSettings> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map(|location| location.line() as usize);
            let reason = error.without_snippet().to_string();
            // the place is told in our own words
            let reason = reason.split(" at line ").next().unwrap_or_default();
            format!("{NAME}{}: {}", place(text, line), shortened_to(200, reason))
        })?;
    let config = config.unwrap_or_default();
    let settings = config.association_id_settings.as_ref();
    for (key, value) in [
        ("deployment_id", config.deployment_id.as_ref()),
        ("column_name", settings.map(|settings| &settings.column_name)),
    ] {
        if value.is_some_and(|value| value.trim().is_empty()) {
            let line = text.lines().position(|line| line.trim_start().starts_with(key));
            return Err(format!("{NAME}{}: it is empty", place(text, line.map(|line| line + 1))));
        }
    }
    Ok(config)
}

/// ", line 3, key 'x'", as far as that is known.
fn place(text: &str, line: Option<usize>) -> String {
    let Some(line) = line.filter(|line| *line > 0) else { return String::new() };
    let key = text.lines().nth(line - 1).and_then(|line| line.split_once(':')).map(|(key, _)| key.trim());
    match key.filter(|key| !key.is_empty()) {
        Some(key) => format!(", line {line}, key '{}'", shortened_to(40, key)),
        None => format!(", line {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id column allowed`, or the warning.
    fn check(text: &str, expected: &str) {
        let found = match parse(text) {
            Ok(config) => {
                let settings = config.association_id_settings;
                let settings = settings.map(|s| format!("{} {}", s.column_name, s.allow_missing_values));
                format!("{:?} {settings:?}", config.deployment_id)
            }
            Err(warning) => warning,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn ids_and_columns_are_read() {
        check(
            "deployment_id: 5fc92906ad764dde6c3264fa\nassociation_id_settings:\n  column_name: id\n  \
             allow_missing_values: true\n",
            r#"Some("5fc92906ad764dde6c3264fa") Some("id true")"#,
        );
        // an id may look like a number
        check("deployment_id: 640e92906764064676403264", r#"Some("640e92906764064676403264") None"#);
        check("deployment_id: 123456789012345678901234", r#"Some("123456789012345678901234") None"#);
        check("association_id_settings:\n  column_name: id\n", r#"None Some("id false")"#);
        check("", "None None");
        check("# nothing yet\n", "None None");
        check("another: [1, 2]\ndeployment_id:\n", "None None");
    }

    #[test]
    fn a_fault_is_told_with_its_line_and_key() {
        check("deployment_id: [1]\n", "config.yml, line 1, key 'deployment_id': expected string scalar");
        check(
            "x: 1\nassociation_id_settings:\n  column_name: id\n  allow_missing_values: maybe\n",
            "config.yml, line 4, key 'allow_missing_values': invalid boolean",
        );
        check(
            "association_id_settings: 3\n",
            "config.yml, line 1, key 'association_id_settings': expected mapping start",
        );
        check("- 1\n", "config.yml, line 1: expected mapping start");
        check("a: 1\ndeployment_id: ' '\n", "config.yml, line 2, key 'deployment_id': it is empty");
    }

    #[test]
    fn a_hostile_file_costs_little() {
        let aliases =
            (1..12).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(",")));
        let bomb = format!("a0: &a0 [x,x]\n{}", aliases.collect::<String>());
        for text in [bomb, "[".repeat(60_000), "x: &a [*a]\n".to_owned(), "? ".repeat(30_000)] {
            let start = std::time::Instant::now();
            parse(&text).unwrap_err();
            assert!(start.elapsed().as_secs() < 2, "{:?} for {:.20}", start.elapsed(), text);
        }
    }
}
