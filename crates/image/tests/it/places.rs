//! One image through every form of archive and layout and back: the digest stays what it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use portend_image::{
    ArchiveKind, ArchiveSource, ArchiveTarget, CopyOptions, Descriptor, Digest, LayoutSource, LayoutTarget,
    Platform, Reference, Source, Target, copy, inspect, media,
};
use serde_json::{Value, json};

/// What is copied where one platform is named.
fn only(platform: &Platform) -> CopyOptions<'_> {
    CopyOptions { platform: Some(platform), ..CopyOptions::default() }
}

/// A layer of one file.
fn layer(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).unwrap();
    tar.into_inner().unwrap()
}

fn put(folder: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let descriptor = Descriptor::of(media_type, bytes);
    fs::write(blobs.join(descriptor.digest.hex()), bytes).unwrap();
    serde_json::to_value(descriptor).unwrap()
}

/// Writes an image for a processor; its manifest's descriptor.
fn image(folder: &Path, architecture: &str) -> Value {
    let plain = layer("greeting", b"hello\n");
    let packed = zstd::encode_all(&*layer("more", architecture.as_bytes()), 3).unwrap();
    let ids = [Digest::of(&plain), Digest::of(&layer("more", architecture.as_bytes()))];
    let config = json!({"os": "linux", "architecture": architecture, "config": {"Cmd": ["/greeting"]},
                        "rootfs": {"type": "layers", "diff_ids": ids.map(|id| id.to_string())}});
    let manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST,
        "config": put(folder, media::CONFIG, config.to_string().as_bytes()),
        "layers": [put(folder, media::LAYER, &plain), put(folder, media::LAYER_ZSTD, &packed)]});
    let mut entry = put(folder, media::MANIFEST, manifest.to_string().as_bytes());
    entry["platform"] = json!({"os": "linux", "architecture": architecture});
    entry
}

/// A layout with one image for two processors under the tag `v1`; the digest of its index.
pub(crate) fn layout(folder: &Path) -> String {
    let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "annotations": {"kept": "as it is"},
                       "manifests": [image(folder, "amd64"), image(folder, "arm64")]});
    let mut entry = put(folder, media::INDEX, index.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    entry["digest"].as_str().unwrap().to_owned()
}

fn name() -> Reference {
    Reference::parse("team/churn:3").unwrap()
}

#[test]
fn an_image_keeps_its_digest_through_every_archive_and_compression() {
    let folder = tempfile::tempdir().unwrap();
    let digest = layout(&folder.path().join("from"));
    let from = LayoutSource::open(&folder.path().join("from"), Some("v1")).unwrap();
    for kind in [ArchiveKind::Oci, ArchiveKind::Both] {
        for ending in ["tar", "tar.gz", "tar.zst"] {
            let path = folder.path().join(format!("{kind:?}.{ending}"));
            let target = ArchiveTarget::create(&path, kind, Some(&name()), false).unwrap();
            let copied = copy(&from, &target, &CopyOptions::default()).unwrap();
            // the plain layer is the same in both images
            assert_eq!((copied.digest.as_str(), copied.images, copied.sent.0), (digest.as_str(), 2, 5));
            let other = Reference::parse("team/other:3").unwrap();
            let error = ArchiveSource::open(&path, Some(&other)).unwrap_err().to_string();
            assert!(error.contains("holds no such image"), "{error}");
            assert_eq!(ArchiveSource::open(&path, None).unwrap().name(), Some(name()));
            let archive = ArchiveSource::open(&path, Some(&name())).unwrap();
            let to = folder.path().join(format!("{kind:?}-{ending}"));
            let back = LayoutTarget::create(&to, Some("v2")).unwrap();
            assert_eq!(copy(&archive, &back, &CopyOptions::default()).unwrap().digest.as_str(), digest);
            let again = copy(&archive, &back, &CopyOptions::default()).unwrap();
            assert_eq!((again.sent.0, again.there.0), (0, 5), "blobs that are there are not copied");
            let found = inspect(&LayoutSource::open(&to, None).unwrap(), None).unwrap();
            let platforms: Vec<_> = found.images.iter().map(|image| image.platform.as_str()).collect();
            assert_eq!(
                (found.digest.as_str(), platforms),
                (digest.as_str(), vec!["linux/amd64", "linux/arm64"])
            );
        }
    }
}

#[test]
fn an_archive_for_docker_has_one_image_of_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    layout(&folder.path().join("from"));
    let from = LayoutSource::open(&folder.path().join("from"), Some("v1")).unwrap();
    let platform = Platform::parse("linux/arm64").unwrap();
    let path = folder.path().join("docker.tar");
    let target = ArchiveTarget::create(&path, ArchiveKind::Docker, Some(&name()), false).unwrap();
    let copied = copy(&from, &target, &only(&platform)).unwrap();
    assert_eq!((copied.images, copied.sent.0), (1, 3));
    let archive = ArchiveSource::open(&path, None).unwrap();
    assert_eq!(archive.name(), Some(name()));
    let found = inspect(&archive, None).unwrap();
    let types: Vec<_> = found.images[0].layers.iter().map(|layer| layer.media_type.as_str()).collect();
    assert_eq!(
        (found.images[0].platform.as_str(), types),
        ("linux/arm64", vec![media::LAYER, media::LAYER_ZSTD])
    );
    let other = Reference::parse("team/churn:4").unwrap();
    let error = ArchiveSource::open(&path, Some(&other)).unwrap_err().to_string();
    assert!(error.contains("it holds no such image; its names: team/churn:3"), "{error}");
    let windows = Platform::parse("windows/amd64").unwrap();
    let error = copy(&from, &target, &only(&windows)).unwrap_err().to_string();
    assert!(error.ends_with("has no image for windows/amd64; it has linux/amd64, linux/arm64"), "{error}");
}

#[test]
fn skopeo_reads_what_was_written() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "install skopeo");
        println!("!!!!!!!! LEFT OUT: skopeo is not installed !!!!!!!!");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    layout(&folder.path().join("from"));
    let from = LayoutSource::open(&folder.path().join("from"), Some("v1")).unwrap();
    let platform = Platform::parse("linux/amd64").unwrap();
    for (kind, file, transports) in [
        (ArchiveKind::Oci, "oci.tar", &["oci-archive"][..]),
        (ArchiveKind::Oci, "oci.tar.gz", &["oci-archive"]),
        (ArchiveKind::Docker, "docker.tar", &["docker-archive"]),
        (ArchiveKind::Docker, "docker.tar.zst", &["docker-archive"]),
        (ArchiveKind::Both, "both.tar", &["oci-archive", "docker-archive"]),
        (ArchiveKind::Both, "both.tar.zst", &["oci-archive", "docker-archive"]),
    ] {
        let path = folder.path().join(file);
        let target = ArchiveTarget::create(&path, kind, Some(&name()), false).unwrap();
        let digest = copy(&from, &target, &only(&platform)).unwrap().digest;
        for transport in transports {
            let read = format!("{transport}:{}", path.display());
            let inspected = Command::new("skopeo").args(["inspect", "--raw", &read]).output().unwrap();
            let log = String::from_utf8_lossy(&inspected.stderr);
            assert!(inspected.status.success(), "{read}: {log}");
            if *transport == "oci-archive" {
                assert_eq!(Digest::of(&inspected.stdout), digest, "{read}");
            }
            let to = format!("dir:{}", folder.path().join("out").display());
            let done =
                Command::new("skopeo").args(["--insecure-policy", "copy", &read, &to]).output().unwrap();
            assert!(done.status.success(), "{read}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
}

#[test]
fn a_layout_keeps_its_other_images_and_goes_on_where_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    layout(&folder.path().join("from"));
    let from = LayoutSource::open(&folder.path().join("from"), Some("v1")).unwrap();
    let to = folder.path().join("to");
    for (platform, tag) in [("linux/amd64", "a"), ("linux/arm64", "b"), ("linux/arm64", "a")] {
        let target = LayoutTarget::create(&to, Some(tag)).unwrap();
        copy(&from, &target, &only(&Platform::parse(platform).unwrap())).unwrap();
    }
    for tag in ["a", "b"] {
        let found = inspect(&LayoutSource::open(&to, Some(tag)).unwrap(), None).unwrap();
        assert_eq!(found.images[0].platform, "linux/arm64", "{tag}");
    }
    let layer = inspect(&from, None).unwrap().images[0].layers[0].clone();
    let blob = to.join("blobs/sha256").join(layer.digest.hex());
    let partial = to.join("blobs/sha256").join(format!(".{}.partial", layer.digest.hex()));
    let bytes = fs::read(&blob).unwrap();
    let target = LayoutTarget::create(&to, Some("a")).unwrap();
    fs::remove_file(&blob).unwrap();
    fs::write(&partial, &bytes[..1000]).unwrap();
    assert!(target.put(&layer, &from).unwrap());
    assert_eq!((fs::read(&blob).unwrap(), partial.exists()), (bytes, false));
    // what is there may be wrong: it is noticed, and done away with
    fs::remove_file(&blob).unwrap();
    fs::write(&partial, "x".repeat(1000)).unwrap();
    let error = target.put(&layer, &from).unwrap_err().to_string();
    assert!(error.contains("its bytes have the digest"), "{error}");
    assert!(!blob.exists() && !partial.exists());
    assert!(target.put(&layer, &from).unwrap());
}

#[test]
fn whoever_writes_the_same_blob_is_waited_for_and_what_it_wrote_stays() {
    let folder = tempfile::tempdir().unwrap();
    layout(&folder.path().join("from"));
    let from = LayoutSource::open(&folder.path().join("from"), Some("v1")).unwrap();
    let wanted = inspect(&from, None).unwrap().images[0].layers[0].clone();
    let target = LayoutTarget::create(&folder.path().join("to"), Some("v1")).unwrap();
    let blobs = folder.path().join("to/blobs/sha256");
    let blob = blobs.join(wanted.digest.hex());
    let partial = blobs.join(format!(".{}.partial", wanted.digest.hex()));
    let check = |finishes: bool, sent: bool| {
        let other = fs::File::create(&partial).unwrap();
        other.lock().unwrap();
        std::thread::scope(|threads| {
            let ours = threads.spawn(|| target.put(&wanted, &from).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(300));
            assert!(!ours.is_finished());
            let bytes = fs::read(folder.path().join("from/blobs/sha256").join(wanted.digest.hex())).unwrap();
            if finishes {
                fs::write(&partial, bytes).unwrap();
                fs::rename(&partial, &blob).unwrap();
            } else {
                fs::remove_file(&partial).unwrap();
            }
            drop(other);
            assert_eq!(ours.join().unwrap(), sent);
        });
        let found = fs::read(&blob).unwrap();
        assert_eq!((Digest::of(&found), partial.exists()), (wanted.digest.clone(), false));
    };
    check(true, false);
    fs::remove_file(&blob).unwrap();
    check(false, true);
    // a layout that somebody else made leads nowhere else
    fs::remove_file(&blob).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &partial).unwrap();
    assert!(target.put(&wanted, &from).unwrap());
    assert_eq!((fs::read_to_string(&elsewhere).unwrap(), blob.is_symlink()), ("mine".to_owned(), false));
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    fs::write(&path, "mine").unwrap();
    let create = |force| ArchiveTarget::create(&path, ArchiveKind::Both, None, force);
    assert!(create(false).err().unwrap().to_string().ends_with("it is there already: --force replaces it"));
    drop(create(true).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"mine", "what was not finished replaces nothing");
    fs::write(folder.path().join("x"), "").unwrap();
    let error = LayoutTarget::create(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("something else than an OCI layout"), "{error}");
    assert_eq!(target_lanes(&path), 1);
}

fn target_lanes(path: &Path) -> usize {
    ArchiveTarget::create(path, ArchiveKind::Both, None, true).unwrap().lanes()
}

#[test]
fn wrong_blobs_are_noticed_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    layout(&from);
    let source = LayoutSource::open(&from, Some("v1")).unwrap();
    let layer = inspect(&source, None).unwrap().images[0].layers[0].clone();
    let blob = from.join("blobs/sha256").join(layer.digest.hex());
    let good = fs::read(&blob).unwrap();
    let longer = [&good[..], b"x"].concat();
    for (bytes, reason) in [
        (&good[..good.len() - 1], "it ends after 2047 of 2048 bytes"),
        (&longer, "it is longer than the 2048 bytes"),
        (&[&good[1..], b"x"].concat(), "its bytes have the digest"),
    ] {
        fs::write(&blob, bytes).unwrap();
        let path = folder.path().join("out.tar");
        let archive = ArchiveTarget::create(&path, ArchiveKind::Both, None, false).unwrap();
        let other = LayoutTarget::create(&folder.path().join("out"), None).unwrap();
        for target in [&archive as &dyn Target, &other] {
            let error = copy(&source, target, &CopyOptions::default()).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(layer.digest.as_str()), "{error}");
        }
        assert!(!path.exists() && !folder.path().join("out/index.json").exists());
    }
    fs::remove_file(&blob).unwrap();
    let target = LayoutTarget::create(&folder.path().join("out"), None).unwrap();
    let error = copy(&source, &target, &CopyOptions::default()).unwrap_err().to_string();
    assert!(error.contains("has no blob"), "{error}");
    assert!(source.root().is_ok());
}
