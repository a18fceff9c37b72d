//! The documents against what they speak of: links lead somewhere, and the page of the command line is what `--help`
//! prints.

use std::fs;
use std::path::{Path, PathBuf};

use crate::running_server::portend;
use crate::{blessing, repository};

/// The documents in the root, all of which there must be.
const IN_ROOT: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

/// Those in the root, and all that lie in the folders of documents, measurements and test data.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<_> = IN_ROOT.map(repository).into();
    let mut folders: Vec<_> = ["docs", "bench", "testdata"].map(repository).into();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Where the links and images of a document lead, those in code left out.
fn links(text: &str) -> Vec<String> {
    let mut in_block = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            // every second part stands between backticks
            line.split('`').step_by(2).for_each(|part| prose.push_str(part));
            prose.push('\n');
        }
    }
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let references =
        prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|(_, to)| to));
    inline.chain(references).map(|to| to.trim_matches(['<', '>']).to_owned()).collect()
}

fn leads_nowhere(document: &Path, link: &str) -> bool {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let elsewhere = link.contains("://") || link.starts_with("mailto:");
    !elsewhere && !path.is_empty() && !document.parent().unwrap().join(path).exists()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut broken = String::new();
    let documents = documents();
    for needed in ["docs/reference/package.md", "bench/README.md", "testdata/models/xgb_dart/README.md"] {
        assert!(documents.contains(&repository(needed)), "{needed} is not among {documents:?}");
    }
    for document in documents {
        let text = fs::read_to_string(&document);
        for link in links(&text.unwrap_or_else(|e| panic!("{}: {e}", document.display()))) {
            if leads_nowhere(&document, &link) {
                broken.push_str(&format!("{}: {link}\n", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{broken}");
}

#[test]
fn links_are_found_in_prose_and_not_in_code() {
    let text = "[a](one.md) and ![b](two.png \"title\")\n```text\n[c](no.md)\n```\n`[d](no.md)` [e](<three.md#x>)\n\n\
                [f]: four.md\n";
    assert_eq!(links(text), ["one.md", "two.png", "three.md#x", "four.md"]);
}

/// The page, made of what the commands print.
fn command_line_page() -> String {
    let mut page =
        "# Command line\n\nWhat `--help` prints; this page is compared with it by a test.\n".to_owned();
    let of_packages = ["create", "inspect", "verify", "sign", "diff"].map(|name| vec!["package", name]);
    let of_images = ["build", "push", "pull", "copy", "save", "inspect", "exists", "tags", "delete"]
        .map(|name| vec!["image", name]);
    let commands = [vec![], vec!["serve"], vec!["package"]].into_iter().chain(of_packages);
    let of_artifacts = ["ls", "cp", "rm", "presign"].map(|name| vec!["artifact", name]);
    let commands = commands.chain([vec!["image"]]).chain(of_images);
    let commands = commands.chain([vec!["artifact"]]).chain(of_artifacts);
    for command in commands.chain([vec!["openapi"], vec!["demo"]]) {
        let done = portend().args(&command).arg("--help").env("COLUMNS", "100").output().unwrap();
        assert!(done.status.success());
        let help = String::from_utf8(done.stdout).unwrap();
        let name = [vec!["portend"], command].concat().join(" ");
        let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n")));
    }
    page
}

#[test]
fn the_page_of_the_command_line_is_what_help_prints() {
    let path = repository("docs/reference/command-line.md");
    let page = command_line_page();
    if blessing() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is not up to date: PORTEND_BLESS=1 writes it", path.display());
}
