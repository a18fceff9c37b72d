//! What is written from the `.proto` files: Rust for their messages, and descriptors for server reflection. Nobody who
//! builds needs a compiler for these files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_build::{Config, Module};
use protox::prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto};

/// The files, and the modules that have their messages; without one they have those of another file, or are read in place.
const FILES: [(&str, Option<&str>); 6] = [
    ("health.proto", Some("health")),
    ("open_inference.proto", Some("inference")),
    ("reflection_v1.proto", Some("reflection")),
    ("reflection_v1alpha.proto", None),
    ("seldon.proto", None),
    ("tensorflow.proto", None),
];

/// Messages that say what REST says, and are made of its JSON.
const TOLD: [&str; 6] = [
    ".inference.ModelMetadataResponse",
    ".inference.ModelStatistics",
    ".inference.InferStatistics",
    ".inference.StatisticDuration",
    ".inference.MemoryUsage",
    ".inference.RepositoryIndexResponse.ModelIndex",
];

const DOC: &str = "//! Messages of gRPC and the descriptors of their files. Written from `proto/` by \
                   `PORTEND_BLESS=1 cargo test -p portend-server`.\n";

/// The full names of everything that a file declares and can be asked for.
fn symbols(file: &FileDescriptorProto) -> Vec<String> {
    fn add(message: &DescriptorProto, scope: &str, symbols: &mut Vec<String>) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|inner| add(inner, &name, symbols));
        symbols.extend(message.enum_type.iter().map(|inner| format!("{name}.{}", inner.name())));
        symbols.push(name);
    }
    let package = file.package();
    let mut symbols = Vec::new();
    file.message_type.iter().for_each(|message| add(message, package, &mut symbols));
    symbols.extend(file.enum_type.iter().map(|one| format!("{package}.{}", one.name())));
    for service in &file.service {
        let name = format!("{package}.{}", service.name());
        symbols.extend(service.method.iter().map(|method| format!("{name}.{}", method.name())));
        symbols.push(name);
    }
    symbols.sort();
    symbols
}

fn table(files: &[FileDescriptorProto]) -> String {
    let mut rust = format!(
        "{DOC}\n{}\n\n/// A file of declarations.\npub(crate) struct File {{\n    pub(crate) name: &'static str,\n    \
         pub(crate) services: &'static [&'static str],\n    pub(crate) symbols: &'static [&'static str],\n    \
         /// Its descriptor, encoded.\n    pub(crate) descriptor: &'static [u8],\n}}\n\n/// All of them.\n\
         pub(crate) const FILES: [File; {}] = [\n",
        FILES
            .iter()
            .filter_map(|(_, module)| module.as_ref())
            .map(|module| format!(
                "#[allow(missing_docs, unreachable_pub, dead_code, clippy::all)]\npub(crate) mod {module};"
            ))
            .collect::<Vec<_>>()
            .join("\n"),
        files.len()
    );
    for file in files {
        let services: Vec<_> =
            file.service.iter().map(|one| format!("{}.{}", file.package(), one.name())).collect();
        let (name, symbols) = (file.name(), symbols(file));
        _ = write!(
            rust,
            "    File {{\n        name: {name:?},\n        services: &{services:?},\n        symbols: &{symbols:#?},\n        \
             descriptor: include_bytes!({:?}),\n    }},\n",
            descriptor_file(name),
        );
    }
    rust + "];\n"
}

/// What the descriptor of a file is called; those that come from elsewhere have folders in their names.
fn descriptor_file(name: &str) -> String {
    name.replace(".proto", ".bin").replace('/', "_")
}

/// What is to stand in the folder of generated files.
fn generated() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("proto");
    let names = FILES.map(|(name, _)| folder.join(name));
    let mut set = protox::compile(names, [folder]).unwrap().file;
    set.iter_mut().for_each(|file| file.source_code_info = None);
    let mut files = BTreeMap::from([("mod.rs".to_owned(), table(&set).into_bytes())]);
    files.extend(set.iter().map(|file| (descriptor_file(file.name()), file.encode_to_vec())));
    for (name, module) in FILES {
        let Some(module) = module else { continue };
        let file = set.iter().find(|file| file.name() == name).unwrap();
        let of = Module::from_protobuf_package_name(file.package());
        let mut config = Config::new();
        config.bytes(["."]);
        TOLD.iter().for_each(|name| _ = config.type_attribute(name, "#[derive(serde::Deserialize)]"));
        let mut rust = config.generate(vec![(of.clone(), file.clone())]).unwrap();
        let doc = format!("//! The messages of `{name}`.\n");
        files.insert(format!("{module}.rs"), (doc + &rust.remove(&of).unwrap()).into_bytes());
    }
    files
}

#[test]
fn generated_messages_are_those_of_the_proto_files() {
    let folder: PathBuf =
        Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("src/protocol/grpc/generated");
    for (name, content) in generated() {
        let path = folder.join(&name);
        if std::env::var_os("PORTEND_BLESS").is_some_and(|value| value == "1") {
            fs::write(&path, &content).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(found == content, "{} is not up to date: PORTEND_BLESS=1 writes it", path.display());
    }
}
