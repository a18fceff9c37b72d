//! The reference page: its prose is written by hand, its tables are written from the table of settings by this test.

use std::fs;
use std::path::Path;

use super::settings::{GROUPS, Group, Reach, Setting, Unset};

const START: &str = "<!-- The settings are written by `PORTEND_BLESS=1 cargo test`. -->\n";
const END: &str = "<!-- End of the settings. -->\n";

/// A text that may stand in a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(setting: &Setting) -> String {
    let Setting { name, reach, variables, kind, default, sentence, example, secret } = setting;
    let word = match reach {
        Reach::Positional => format!("`PATH`, `{name}`"),
        Reach::Flag(_) => format!("`--{name}`"),
        Reach::File => format!("`{name}` (no flag)"),
        Reach::Variable => String::new(),
    };
    let variables: Vec<_> = variables.iter().map(|variable| format!("`{variable}`")).collect();
    let default = match default {
        Unset::Is(text) => format!("`{text}`"),
        Unset::Follows(words, _) => (*words).to_owned(),
        Unset::Nothing => String::new(),
    };
    let secret = if *secret { ". Secret: never shown" } else { "" };
    let example = if *example == "…" { String::new() } else { format!("`{example}`") };
    let cells = [word, variables.join(", "), kind.allowed(), default, example, format!("{sentence}{secret}")];
    let cells = cells.iter().map(|text| cell(text));
    // those that other products name have neither word nor default
    let skip = |place: &usize| *reach != Reach::Variable || ![0, 3].contains(place);
    let cells: Vec<_> = cells.enumerate().filter(|(place, _)| skip(place)).map(|(_, text)| text).collect();
    format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |").replace("|  |", "| |")
}

fn section(group: &Group) -> String {
    let columns: &[&str] = match group.settings[0].reach {
        Reach::Variable => &["environment", "value", "example", "meaning"],
        _ => &["flag and key", "environment", "value", "default", "example", "meaning"],
    };
    let rules = vec!["---"; columns.len()];
    let rows: String = group.settings.iter().map(row).collect();
    format!("\n### {}\n\n| {} |\n| {} |\n{rows}", group.heading, columns.join(" | "), rules.join(" | "))
}

#[test]
fn the_reference_page_has_the_table_of_settings() {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("../../docs/reference/configuration.md");
    let written = fs::read_to_string(&path).unwrap();
    let (before, rest) = written.split_once(START).expect("the page says where its tables start");
    let (_, after) = rest.split_once(END).expect("the page says where its tables end");
    let sections: String = GROUPS.iter().map(section).collect();
    let page = format!("{before}{START}{sections}\n{END}{after}");
    if std::env::var_os("PORTEND_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == page, "{} is not up to date: PORTEND_BLESS=1 writes it", path.display());
}
