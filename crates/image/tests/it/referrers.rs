//! What is about an image travels with it: into registries that keep lists of it, into those that know only tags, and
//! into layouts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use portend_image::{
    Bill, Binary, Built, Component, Compression, CopyOptions, Descriptor, Digest, FileContent, LayerFile,
    LayoutSource, LayoutTarget, Provenance, Recipe, RegistrySource, RegistryTarget, Source, Target, build,
    copy, inspect, media,
};
use serde_json::{Value, json};

use crate::registry::{Server, answer, options};

/// Blobs and manifests by what they are asked for.
type Kept = BTreeMap<String, (String, Vec<u8>)>;

/// A registry in memory. One that keeps lists says so for each manifest with a subject; the other one has never heard of
/// them.
fn registry(keeps_lists: bool) -> Server {
    let kept = Arc::new(Mutex::new(Kept::new()));
    Server::start(move |request, out| {
        let mut kept = kept.lock().unwrap();
        let path = request.target.split('?').next()?;
        let last = path.rsplit('/').next()?.to_owned();
        match request.method.as_str() {
            "POST" => answer(out, 202, &[("Location", "/v2/a/blobs/uploads/x")], b""),
            "PUT" if path.contains("/uploads/") => {
                let digest = Digest::of(&request.body).to_string();
                kept.insert(digest, (String::new(), request.body.clone()));
                answer(out, 201, &[], b"")
            }
            "PUT" => {
                let subject =
                    serde_json::from_slice::<Value>(&request.body).ok()?["subject"]["digest"].clone();
                let one = (request.headers["content-type"].clone(), request.body.clone());
                kept.insert(Digest::of(&request.body).to_string(), one.clone());
                kept.insert(last, one);
                let said = [("OCI-Subject", subject.as_str().unwrap_or_default())];
                answer(out, 201, &said[..usize::from(keeps_lists && subject.is_string())], b"")
            }
            _ if path == "/v2/" => answer(out, 200, &[], b"{}"),
            _ if path.contains("/referrers/") && keeps_lists => {
                let list =
                    json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": about(&kept, &last)});
                answer(out, 200, &[("Content-Type", media::INDEX)], list.to_string().as_bytes())
            }
            _ => match kept.get(&last).filter(|_| !path.contains("/referrers/")) {
                Some((kind, bytes)) => {
                    let digest = Digest::of(bytes);
                    let headers =
                        [("Content-Type", kind.as_str()), ("Docker-Content-Digest", digest.as_str())];
                    answer(out, 200, &headers, if request.method == "HEAD" { b"" } else { bytes })
                }
                None => answer(out, 404, &[], b""),
            },
        }
    })
}

/// The manifests that name a subject.
fn about(kept: &Kept, subject: &str) -> Vec<Value> {
    let named =
        kept.iter().filter(|(name, _)| name.starts_with("sha256:")).filter_map(|(_, (kind, bytes))| {
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            let mut entry = json!(Descriptor::of(kind, bytes));
            entry["artifactType"] = manifest["artifactType"].clone();
            (manifest["subject"]["digest"] == subject).then_some(entry)
        });
    named.collect()
}

fn recipe(folder: &Path, processors: &[(&str, u8)]) -> Recipe<'static> {
    let binary = |(name, machine): &(&str, u8)| {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[16], elf[18], elf[32], elf[54]) = (3, *machine, 64, 56);
        let path = folder.join(name);
        std::fs::write(&path, elf).unwrap();
        Binary::open(&path).unwrap()
    };
    Recipe {
        binaries: processors.iter().map(binary).collect(),
        program: "portend",
        between: Vec::new(),
        files: vec![LayerFile {
            path: "model".to_owned(),
            executable: false,
            content: FileContent::Bytes(vec![1; 9]),
        }],
        files_title: "the model".to_owned(),
        entrypoint: vec!["/portend".to_owned()],
        environment: Vec::new(),
        port: 8080,
        user: "1:1".to_owned(),
        labels: BTreeMap::new(),
        created: None,
        base: None,
        compression: Compression::None,
    }
}

fn described(recipe: &Recipe<'static>, processors: &[(&str, u8)]) -> Built<'static> {
    let mut built = build(recipe).unwrap();
    let (name, version) = ("churn".to_owned(), "3".to_owned());
    let part =
        Component { kind: "file", name: name.clone(), version: version.clone(), package: None, digest: None };
    let bill = Bill {
        name: name.clone(),
        version: version.clone(),
        created: None,
        builder_version: version.clone(),
        components: vec![part.clone(), part],
    };
    processors.iter().for_each(|(processor, _)| built.attach_bill(processor, &bill).unwrap());
    let (parameters, materials) = Default::default();
    built.attach_provenance(&Provenance { name, builder_version: version, parameters, materials }).unwrap();
    built
}

/// The kinds of what is about an index, and about each of its images.
fn found(source: &dyn Source) -> Vec<Vec<String>> {
    let inspected = inspect(source, None).unwrap();
    let kinds = |all: &[Descriptor]| {
        let mut kinds: Vec<_> =
            all.iter().map(|one| one.other["artifactType"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    };
    let images = inspected.images.iter().map(|image| kinds(&image.referrers));
    [kinds(&inspected.referrers)].into_iter().chain(images).filter(|kinds| !kinds.is_empty()).collect()
}

fn check(processors: &[(&str, u8)], expected: &[&[&str]]) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), processors);
    let built = described(&recipe, processors);
    let with = CopyOptions { referrers: true, ..CopyOptions::default() };
    assert_eq!(found(&built), expected);
    for keeps_lists in [true, false] {
        let server = registry(keeps_lists);
        let to = |name: &str| RegistryTarget::new(&server.reference(name), &options()).unwrap();
        let from = RegistrySource::new(&server.reference("a:1"), &options()).unwrap();
        for _ in 0..2 {
            copy(&built, &to("a:1"), &with).unwrap();
            assert_eq!(found(&from), expected, "lists: {keeps_lists}");
        }
        let by_tag =
            server.requests().iter().filter(|r| r.method == "PUT" && r.target.contains("sha256-")).count();
        assert_eq!(by_tag > 0, !keeps_lists, "the tag is for registries without lists");
        // out of there into a layout, and further
        let layout = folder.path().join(format!("layout-{keeps_lists}"));
        let target = LayoutTarget::create(&layout, Some("v1")).unwrap();
        assert_eq!(copy(&from, &target, &with).unwrap().referrers, processors.len() + 1);
        let read = LayoutSource::open(&layout, None).unwrap();
        assert_eq!(found(&read), expected);
        let other = registry(true);
        let other_target = RegistryTarget::new(&other.reference("a:1"), &options()).unwrap();
        copy(&read, &other_target, &with).unwrap();
        assert_eq!(found(&RegistrySource::new(&other.reference("a:1"), &options()).unwrap()), expected);
        // and only where that was asked for
        let plain = folder.path().join(format!("plain-{keeps_lists}"));
        let target = LayoutTarget::create(&plain, Some("v1")).unwrap();
        assert_eq!(copy(&from, &target, &CopyOptions::default()).unwrap().referrers, 0);
        assert_eq!(found(&LayoutSource::open(&plain, None).unwrap()), Vec::<Vec<String>>::new());
    }
}

#[test]
fn what_is_about_an_image_is_found_wherever_the_image_goes() {
    check(&[("amd64", 62)], &[&[media::CYCLONEDX, media::IN_TOTO]]);
    let several: &[&[&str]] = &[&[media::IN_TOTO], &[media::CYCLONEDX], &[media::CYCLONEDX]];
    check(&[("amd64", 62), ("arm64", 183)], several);
}

#[test]
fn a_place_that_cannot_hold_what_is_about_an_image_says_so_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let processors = [("amd64", 62)];
    let recipe = recipe(folder.path(), &processors);
    let built = described(&recipe, &processors);
    let untagged = LayoutTarget::create(&folder.path().join("layout"), None).unwrap();
    assert!(!untagged.takes_referrers());
    let with = CopyOptions { referrers: true, ..CopyOptions::default() };
    let error = copy(&built, &untagged, &with).unwrap_err().to_string();
    assert!(error.contains("cannot hold what is about an image"), "{error}");
    assert!(!folder.path().join("layout/index.json").exists());
}

#[test]
fn a_list_that_names_what_is_about_another_image_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let processors = [("amd64", 62)];
    let recipe = recipe(folder.path(), &processors);
    let built = described(&recipe, &processors);
    let honest = registry(true);
    let with = CopyOptions { referrers: true, ..CopyOptions::default() };
    copy(&built, &RegistryTarget::new(&honest.reference("a:1"), &options()).unwrap(), &with).unwrap();
    // the tag of another image leads to the list of this one
    let other = build(&Recipe { user: "2:2".to_owned(), ..recipe }).unwrap();
    let lists = registry(false);
    let target = RegistryTarget::new(&lists.reference("a:1"), &options()).unwrap();
    copy(&built, &target, &with).unwrap();
    copy(&other, &target, &CopyOptions::default()).unwrap();
    let (own, foreign) = (built.root().unwrap().descriptor.digest, other.root().unwrap().descriptor.digest);
    let by_tag = |digest: &Digest| lists.reference(&format!("a:sha256-{}", digest.hex()));
    let list = RegistrySource::new(&by_tag(&own), &options()).unwrap();
    let foreign = RegistryTarget::new(&by_tag(&foreign), &options()).unwrap();
    copy(&list, &foreign, &CopyOptions::default()).unwrap();
    let source = RegistrySource::new(&lists.reference("a:1"), &options()).unwrap();
    let target = LayoutTarget::create(&folder.path().join("layout"), Some("v1")).unwrap();
    let error = copy(&source, &target, &with).unwrap_err().to_string();
    assert!(error.contains("is not about"), "{error}");
}
