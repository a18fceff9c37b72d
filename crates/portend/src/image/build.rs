//! `portend image build`: looks at the model as a server does, says what goes where in the image, has it built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portend_core::{BuildRequest, Builder, BuiltImage, ModelId};
use portend_image::{
    Between, Binary, Compression, CopyOptions, FileContent, ImageError, LayerFile, Location, Recipe,
    Reference, Source, build, copy, inspect,
};
use portend_model::package::{Description, Trust};
use portend_model::{Model, Package};

use super::arguments::{BuildArguments, CompressionForm};
use super::inspect::page;
use super::place::{self, TargetOptions, source, target};
use super::requirements::Requirements;
use super::{attestation, dependencies, progress};
use crate::CommandError;
use crate::package::arguments::Form;
use crate::package::{created, print, print_json};

/// Where things lie in the image, and as whom the program runs.
const PROGRAM: &str = "usr/local/bin/portend";
const MODELS: &str = "opt/ml/model/";
const USER: &str = "65532:65532";
const PORT: u16 = 8080;

/// The name of a bare model file's target, as a server has it.
const DEFAULT_TARGET: &str = "target";

pub(super) fn run(arguments: &BuildArguments) -> Result<(), CommandError> {
    if arguments.dry_run {
        let model = arguments.model.as_deref();
        return with_recipe(arguments, model, arguments.to.as_deref(), |recipe, subject, installed| {
            dry_run(recipe, subject, installed, arguments)
        });
    }
    let model = arguments.model.as_ref().map(|path| match path.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => Err(CommandError::Setting(format!("the name of {} is not UTF-8: rename it", path.display()))),
    });
    let target = arguments.to.clone();
    let target = target
        .ok_or_else(|| CommandError::Setting("--to is missing: say where the image goes".to_owned()))?;
    let built = LocalBuilder { arguments }.build(&BuildRequest { model: model.transpose()?, target })?;
    print(&format!("{}\n", built.digest));
    Ok(())
}

/// Builds in this process, as the flags say.
struct LocalBuilder<'a> {
    arguments: &'a BuildArguments,
}

impl Builder for LocalBuilder<'_> {
    type Error = CommandError;

    fn build(&self, request: &BuildRequest) -> Result<BuiltImage, CommandError> {
        let (arguments, model) = (self.arguments, request.model.as_deref().map(Path::new));
        with_recipe(arguments, model, Some(&request.target), |recipe, subject, installed| {
            let to = Location::parse(&request.target)?;
            let name = name(arguments, subject)?;
            let options = TargetOptions { name: Some(&name), force: arguments.force, known_as: None };
            let target = target(&to, &options, &arguments.registry)?; // before the work: it may refuse
            let mut built = build(recipe)?;
            let referrers = attests(arguments, &to);
            if referrers {
                attestation::attach(&mut built, recipe, subject, installed)?;
            }
            let progress = progress::of(&arguments.progress);
            let options = CopyOptions { platform: None, referrers, progress: progress.as_deref() };
            let copied = copy(&built, &*target, &options)?;
            if !arguments.progress.quiet {
                place::tell(&copied);
            }
            Ok(BuiltImage { digest: copied.digest.to_string(), sent: copied.sent.1 })
        })
    }
}

/// Whether statements about the image are attached. An archive has no place for them, nor a layout without a tag.
fn attests(arguments: &BuildArguments, to: &Location) -> bool {
    !arguments.no_attestations && matches!(to, Location::Registry(_) | Location::Layout(_, Some(_)))
}

/// Looks at the model and all else that goes into the image.
fn with_recipe<T>(
    arguments: &BuildArguments,
    model: Option<&Path>,
    to: Option<&str>,
    then: impl FnOnce(&Recipe<'_>, &Subject, &Installed) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let subject = Subject::read(arguments, model)?;
    let base = arguments.base.as_deref().map(Location::parse).transpose()?;
    let to = to.map(Location::parse).transpose()?;
    place::one_login(&base.iter().chain(&to).collect::<Vec<_>>(), &arguments.registry)?;
    let base = base.map(|base| source(&base, &arguments.registry)).transpose()?;
    let mut recipe = recipe(arguments, &subject, base.as_deref())?;
    let installed = install(arguments, &subject, &mut recipe)?;
    then(&recipe, &subject, &installed)
}

/// Builds the image, shows what it is, and writes nothing.
fn dry_run(
    recipe: &Recipe<'_>,
    subject: &Subject,
    installed: &Installed,
    arguments: &BuildArguments,
) -> Result<(), CommandError> {
    let mut built = build(recipe)?;
    let to = arguments.to.as_deref().map(Location::parse).transpose()?;
    if to.is_some_and(|to| attests(arguments, &to)) {
        attestation::attach(&mut built, recipe, subject, installed)?;
    }
    let mut found = inspect(&built, None)?;
    found.name = arguments.to.as_deref().map_or("nowhere".to_owned(), |to| format!("{to} (not written)"));
    match arguments.form.output {
        Form::Json => print_json(&found)?,
        Form::Table => {
            let files = recipe.files.iter().map(|file| format!("  /{}\n", file.path)).collect::<String>();
            print(&format!(
                "{}files (with the program's {})\n  /{PROGRAM}\n{files}",
                page(&found),
                recipe.files.len() + 1
            ));
        }
    }
    Ok(())
}

/// What the image is to serve: a model, or whatever is mounted.
pub(super) struct Subject {
    pub(super) id: String,
    pub(super) version: String,
    created: Option<String>,
    labels: BTreeMap<String, String>,
    files: Vec<LayerFile>,
    /// The list of Python packages that it brings.
    requirements: Option<String>,
}

impl Subject {
    fn read(arguments: &BuildArguments, model: Option<&Path>) -> Result<Self, CommandError> {
        let trust = arguments.trust.trust(|name| std::env::var(name).ok())?;
        match model {
            Some(path) => Self::of(path, &trust),
            None => Ok(Self::server_alone()),
        }
    }

    fn server_alone() -> Self {
        let models =
            LayerFile { path: MODELS.to_owned(), executable: false, content: FileContent::Bytes(Vec::new()) };
        let labels = [("org.opencontainers.image.title", "portend"), (VERSION, env!("CARGO_PKG_VERSION"))];
        Self {
            id: "portend".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created: None,
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            files: vec![models],
            requirements: None,
        }
    }

    /// A model that loads and predicts its samples as it should; no other gets into an image.
    fn of(path: &Path, trust: &Trust) -> Result<Self, CommandError> {
        if let Some((scheme, _)) = path.to_string_lossy().split_once("://") {
            let reason =
                "an image is built of a file or folder of this machine: `portend artifact cp` brings it here";
            return Err(CommandError::Package(format!("a model at {scheme}://: {reason}")));
        }
        let failed = |e: portend_model::LoadError| CommandError::Package(e.to_string());
        let model = Model::load_trusted(path, DEFAULT_TARGET, trust).map_err(failed)?;
        let described = Description::of(path, trust).map_err(failed)?;
        let facts = &described.package;
        let id = if facts.id.is_empty() { stem(path) } else { facts.id.clone() };
        let labels = [
            ("org.opencontainers.image.title", if facts.name.is_empty() { &id } else { &facts.name }),
            ("org.opencontainers.image.description", &facts.description),
            (VERSION, &facts.version),
            ("portend.model.id", &id),
            ("portend.model.version", &facts.version),
            ("portend.model.digest", &format!("sha256:{}", model.digest)),
            ("portend.model.target", &model.target.name),
            ("portend.model.library", &model.library),
        ];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let (mut package, _) = Package::open_trusted(path, trust).map_err(failed)?;
        Ok(Self {
            requirements: package.requirements().map_err(failed)?,
            files: files(path, &facts.id, &described)?,
            labels: labels.map(|(key, value)| (key.to_owned(), value.clone())).collect(),
            created: Some(facts.created.clone()).filter(|created| !created.is_empty()),
            version: facts.version.clone(),
            id,
        })
    }
}

const VERSION: &str = "org.opencontainers.image.version";

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where the files of a package lie in the image. An archive is named after its id, so that its bytes alone count.
fn files(path: &Path, id: &str, described: &Description) -> Result<Vec<LayerFile>, CommandError> {
    let file = |name: &str, from: PathBuf| LayerFile {
        path: format!("{MODELS}{name}"),
        executable: false,
        content: FileContent::Path(from),
    };
    if path.is_dir() {
        return Ok(described.files.iter().map(|one| file(&one.path, path.join(&one.path))).collect());
    }
    let safe = |name: &String| ModelId::parse(name).is_ok() && !name.starts_with('.');
    let own = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let plain = Package::plain_name(path).map_err(|e| CommandError::Package(e.to_string()))?;
    let name = match plain {
        "model.mlpkg" => Some(format!("{id}.mlpkg")).filter(|name| !id.is_empty() && safe(name)),
        _ => own.filter(safe),
    };
    Ok(vec![file(name.as_deref().unwrap_or(plain), path.to_owned())])
}

/// No model of the base is served beside the one that is built.
fn alone() -> LayerFile {
    LayerFile { path: MODELS.to_owned(), executable: false, content: FileContent::Opaque }
}

fn recipe<'a>(
    arguments: &BuildArguments,
    subject: &Subject,
    base: Option<&'a dyn Source>,
) -> Result<Recipe<'a>, CommandError> {
    let mut labels = subject.labels.clone();
    labels.insert("portend.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    for pair in &arguments.label {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| CommandError::Setting(format!("--label is '{pair}': KEY=VALUE is needed")))?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(Recipe {
        binaries: binaries(arguments)?,
        program: PROGRAM,
        between: Vec::new(),
        files: subject.files.iter().cloned().chain(base.map(|_| alone())).collect(),
        files_title: if arguments.model.is_some() { "the model" } else { "a place for models" }.to_owned(),
        entrypoint: vec![format!("/{PROGRAM}"), "serve".to_owned()],
        environment: vec![("PORTEND_HOST".to_owned(), "0.0.0.0".to_owned())],
        port: PORT,
        user: USER.to_owned(),
        labels,
        created: match created(arguments.created.as_deref())? {
            Some(given) => Some(given),
            None => subject.created.clone(),
        },
        base,
        compression: match arguments.compression {
            CompressionForm::Gzip => Compression::Gzip,
            CompressionForm::Zstd => Compression::Zstd,
            CompressionForm::None => Compression::None,
        },
    })
}

/// Python packages by processor: their names and versions.
pub(super) type Installed = BTreeMap<String, BTreeMap<String, String>>;

/// Adds the layers of Python packages that the model brings a list of, and says what is in them.
fn install(
    arguments: &BuildArguments,
    subject: &Subject,
    recipe: &mut Recipe<'_>,
) -> Result<Installed, CommandError> {
    let mut installed = Installed::new();
    let (python, text) = match (&arguments.python, &subject.requirements) {
        (Some(python), Some(text)) => (python, text),
        (Some(_), None) => {
            let reason = "--python: the model brings no requirements.txt, so there is nothing to install";
            return Err(CommandError::Setting(reason.to_owned()));
        }
        (None, listed) => {
            if listed.is_some() {
                place::note("the package's requirements.txt is not installed: --python VERSION does that");
            }
            return Ok(installed);
        }
    };
    if !python.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(CommandError::Setting(format!(
            "--python is '{python}': a version such as 3.12 is needed"
        )));
    }
    let failed = |reason| CommandError::Package(format!("the package's requirements.txt: {reason}"));
    let requirements = Requirements::parse(text).map_err(failed)?;
    recipe.labels.insert("portend.dependencies".to_owned(), requirements.identity(python).to_string());
    recipe
        .environment
        .push(("PYTHONPATH".to_owned(), format!("/{}", dependencies::FOLDER.trim_end_matches('/'))));
    for binary in &recipe.binaries {
        let architecture = binary.architecture.clone();
        let made = dependencies::prepare(&requirements, python, &architecture, recipe.compression)?;
        installed.insert(architecture.clone(), made.packages);
        let title = format!("packages for Python {python}");
        recipe.between.push(Between { architecture, title, layer: made.layer });
    }
    Ok(installed)
}

/// The programs that were named; this one when there are none.
fn binaries(arguments: &BuildArguments) -> Result<Vec<Binary>, CommandError> {
    if !arguments.binary.is_empty() {
        let opened = arguments.binary.iter().map(|path| Binary::open(path)).collect::<Result<_, _>>();
        return Ok(opened?);
    }
    let own = std::env::current_exe();
    let own = own.map_err(|source| CommandError::Io { what: "cannot find this program's file", source })?;
    Ok(vec![Binary::open(&own)?])
}

/// What the image is called in an archive: what was given, else after the model's id and version.
fn name(arguments: &BuildArguments, subject: &Subject) -> Result<String, ImageError> {
    if let Some(name) = &arguments.name {
        return Reference::parse(name).map(|_| name.clone());
    }
    let word = |text: &str| -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        text.chars().map(|c| if fits(c) { c.to_ascii_lowercase() } else { '-' }).collect()
    };
    let repository =
        if arguments.model.is_some() { format!("portend/{}", word(&subject.id)) } else { "portend".into() };
    let version = word(&subject.version);
    let tag = if version.is_empty() { "latest" } else { &version };
    let named = format!("{repository}:{tag}");
    // a name that is none, such as one that begins with '-', is no reason to fail
    Ok(if Reference::parse(&named).is_ok() { named } else { "portend/model:latest".to_owned() })
}
