//! `portend package create`: reads the files, has a package made of them, and puts it in its place once the code that
//! serves packages has loaded it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portend_model::package::{Created, Finding, MOST_TRAINING_BYTES, Recipe, Source, create, write_archive};
use portend_model::{LoadError, Model};
use serde_json::{Map, Value};

use portend_artifact::FileContent;
use portend_core::{ArtifactError, ArtifactUrl, Scheme};

use super::arguments::CreateArguments;
use super::{created, file_name, print, replace, table};
use crate::CommandError;
use crate::artifact::place;

/// The largest model file, as the server has it, and the largest text.
const MOST_MODEL_BYTES: u64 = 4 << 30;
const MOST_TEXT_BYTES: u64 = MOST_TRAINING_BYTES as u64;

pub(super) fn run(arguments: &CreateArguments) -> Result<ExitCode, CommandError> {
    let out_url = arguments.out.as_ref().map(|out| place::url(out.as_os_str())).transpose()?.flatten();
    let model = read(&arguments.model, MOST_MODEL_BYTES)?;
    let model_name = file_name(&arguments.model);
    let text = |path: &Option<PathBuf>| path.as_deref().map(Text::read).transpose();
    let (training, samples) = (text(&arguments.training_data)?, text(&arguments.samples)?);
    let (expected, requirements) = (text(&arguments.expected)?, text(&arguments.requirements)?);
    let recipe = Recipe {
        model_name: &model_name,
        model: &model,
        training: training.as_ref().map(Text::source),
        samples: samples.as_ref().map(Text::source),
        expected: expected.as_ref().map(Text::source),
        requirements: requirements.as_ref().map(Text::source),
        target: arguments.target.clone(),
        task: arguments.task.clone(),
        classes: arguments.classes.as_deref().map(listed).unwrap_or_default(),
        positive_class: arguments.positive_class.clone(),
        threshold: arguments.threshold,
        levels: arguments.levels.iter().map(|text| levels(text)).collect::<Result<_, _>>()?,
        id: arguments.id.clone(),
        name: arguments.name.clone().unwrap_or_default(),
        version: arguments.version.clone(),
        description: arguments.description.clone().unwrap_or_default(),
        created: created(arguments.created.as_deref())?.unwrap_or_default(),
        missing_values: arguments.missing_value.clone(),
        metadata: metadata(&arguments.metadata)?,
    };
    let made = create(&recipe).map_err(|e| CommandError::Package(e.to_string()))?;
    tell(&made.findings);
    let out = match out_url.filter(|url| url.scheme != Scheme::File || url.object.ends_with('/')) {
        Some(url) => return send(&made, &url, arguments.force),
        None => out(arguments, &made)?,
    };
    spare_inputs(arguments, &out)?;
    put(&made, &out, arguments.force)?;
    print(&format!("{}\n", out.display()));
    Ok(ExitCode::SUCCESS)
}

/// The file that is written: a `file:` URL is a path.
fn out(arguments: &CreateArguments, made: &Created) -> Result<PathBuf, CommandError> {
    let Some(out) = &arguments.out else { return Ok(PathBuf::from(format!("{}.mlpkg", made.id))) };
    Ok(place::url(out.as_os_str())?.map_or_else(|| out.clone(), |url| PathBuf::from(url.object)))
}

/// Puts a package into a store, whole or not at all, once it is known that it would be served. A place that ends with a
/// slash gets it under its id.
fn send(made: &Created, url: &ArtifactUrl, force: bool) -> Result<ExitCode, CommandError> {
    let url = match url.object.is_empty() || url.object.ends_with('/') {
        true => url.join(&format!("{}.mlpkg", made.id)),
        false => url.clone(),
    };
    let store = place::store(&url)?;
    let failed = |source| CommandError::Io { what: "cannot write the package before it is sent", source };
    let folder = tempfile::Builder::new().prefix("portend-").tempdir().map_err(failed)?;
    let path = folder.path().join("package.mlpkg");
    put(made, &path, false)?;
    let content = FileContent::open(&path).map_err(failed)?;
    store.write(&url.object, &content, force).map_err(|error| match error {
        ArtifactError::Exists => {
            CommandError::Package(format!("{url} is there already: --force replaces it"))
        }
        error => place::failed(&url, &error),
    })?;
    print(&format!("{url}\n"));
    Ok(ExitCode::SUCCESS)
}

/// Refuses to write over one of the files that were read, by whatever name.
fn spare_inputs(arguments: &CreateArguments, out: &Path) -> Result<(), CommandError> {
    let CreateArguments { model, training_data, samples, expected, requirements, .. } = arguments;
    let named = [training_data, samples, expected, requirements].map(Option::as_ref);
    let inputs = [Some(model)].into_iter().chain(named);
    let file = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    match inputs.flatten().find(|input| file(out).is_some() && file(input) == file(out)) {
        Some(input) => Err(CommandError::Package(format!(
            "{} is the input {}: name another file to write",
            out.display(),
            input.display()
        ))),
        None => Ok(()),
    }
}

fn put(made: &Created, out: &Path, force: bool) -> Result<(), CommandError> {
    if out.is_dir() {
        let reason = format!("{} is a directory: name the file to write", out.display());
        return Err(CommandError::Package(reason));
    }
    if !force && out.exists() {
        return Err(replace::exists(out));
    }
    let check = |temporary: &Path| match Model::load(temporary, "") {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(&error, temporary, out)),
    };
    replace::put(&replace::place(out)?, force, |file| write_archive(&made.files, file), check)
}

/// What was made would not be served. The name of the temporary file is nobody's business.
fn refused(error: &LoadError, temporary: &Path, out: &Path) -> CommandError {
    let reason = error.to_string().replace(&*temporary.to_string_lossy(), &out.to_string_lossy());
    CommandError::Package(format!("the package would not be served, so it is not written: {reason}"))
}

#[expect(clippy::print_stderr, reason = "what was inferred is not the result")]
fn tell(findings: &[Finding]) {
    let rows =
        findings.iter().map(|f| vec![f.subject.to_owned(), f.value.clone(), format!("({})", f.origin)]);
    eprint!("{}", table::aligned(&rows.collect::<Vec<_>>()));
}

fn metadata(pairs: &[String]) -> Result<Map<String, Value>, CommandError> {
    let mut metadata = Map::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| CommandError::Setting(format!("--metadata is '{pair}': KEY=VALUE is needed")))?;
        if metadata.insert(key.to_owned(), value.into()).is_some() {
            return Err(CommandError::Setting(format!("--metadata names '{key}' twice")));
        }
    }
    Ok(metadata)
}

fn levels(text: &str) -> Result<(String, Vec<String>), CommandError> {
    let (name, levels) = text
        .split_once('=')
        .filter(|(name, levels)| !name.is_empty() && !levels.is_empty())
        .ok_or_else(|| CommandError::Setting(format!("--levels is '{text}': FEATURE=A,B,… is needed")))?;
    Ok((name.to_owned(), listed(levels)))
}

/// The items of a list as a line of CSV has them.
fn listed(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let twice = c == '"' && quoted && rest.next_if_eq(&'"').is_some();
        match (c, items.last_mut()) {
            ('"', _) if !twice => quoted = !quoted,
            (',', _) if !quoted => items.push(String::new()),
            (c, Some(item)) => item.push(c),
            (_, None) => {}
        }
    }
    items
}

/// A text file in memory.
struct Text {
    name: String,
    text: String,
}

impl Text {
    fn read(path: &Path) -> Result<Self, CommandError> {
        let bytes = read(path, MOST_TEXT_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            CommandError::Package(format!("{} is not UTF-8 text: convert it first", path.display()))
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self { name: file_name(path), text })
    }

    fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text }
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, CommandError> {
    let failed = |reason: String| CommandError::Package(format!("cannot read {}: {reason}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_line_of_csv() {
        for (text, expected) in [
            ("a,b", &["a", "b"][..]),
            ("\"a,b\",c d", &["a,b", "c d"]),
            ("\"say \"\"x\"\"\",", &["say \"x\"", ""]),
        ] {
            assert_eq!(listed(text), expected, "{text}");
        }
    }
}
