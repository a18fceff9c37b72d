//! Packages that break the rules of their container or checksums.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{check_refused, golden, load};

pub(super) type Files = BTreeMap<String, Vec<u8>>;

pub(super) const MANIFEST: &str = "portend.json";
pub(super) const MODEL: &str = "model/model.json";
/// Two classes, seven numeric features.
pub(super) const BINARY: &str = "xgb17_pima";
/// Three classes, categories in manifest and model file.
pub(super) const CLASSES: &str = "xgb_penguins";

/// A golden package without its checksums.
pub(super) fn package(case: &str) -> Files {
    let root = golden(case).join("package");
    let read = |name: &str| (name.to_owned(), fs::read(root.join(name)).unwrap());
    [MANIFEST, MODEL, "samples/input.csv", "samples/output.json"].map(read).into()
}

fn checksums(files: &Files) -> String {
    let hex =
        |bytes: &[u8]| digest(&SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>();
    files.iter().map(|(name, bytes)| format!("{}  {name}\n", hex(bytes))).collect()
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

fn write_zip(path: &Path, files: &Files) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files {
        zip.start_file(name.as_str(), stored()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn write_folder(root: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The same files as an archive and as a directory: both are refused for the same reason.
pub(super) fn check(files: &Files, what: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (zip, plain) = (folder.path().join("p.mlpkg"), folder.path().join("p"));
    write_zip(&zip, files);
    write_folder(&plain, files);
    check_refused(&zip, what, expected);
    check_refused(&plain, what, expected);
}

/// Writes a file into a folder with whatever `write` does, and expects a refusal.
fn check_container(name: &str, write: impl FnOnce(&Path), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    write(&path);
    check_refused(&path, expected, expected);
}

/// A package as an archive to which `add` adds what does not belong there.
fn check_zip(add: impl FnOnce(&mut ZipWriter<File>), expected: &str) {
    let write = |path: &Path| {
        write_zip(path, &package(BINARY));
        let mut zip =
            ZipWriter::new_append(File::options().read(true).write(true).open(path).unwrap()).unwrap();
        add(&mut zip);
        zip.finish().unwrap();
    };
    check_container("p.mlpkg", write, expected);
}

#[test]
fn the_packages_that_the_cases_start_from_are_good() {
    for case in [BINARY, CLASSES] {
        let folder = tempfile::tempdir().unwrap();
        let (zip, plain) = (folder.path().join("p.mlpkg"), folder.path().join("p"));
        let mut files = package(case);
        files.insert("checksums.txt".to_owned(), checksums(&files).into_bytes());
        write_zip(&zip, &files);
        write_folder(&plain, &files);
        for path in [zip, plain] {
            assert_eq!(load(&path).map(|model| model.samples), Ok(5), "{case}");
        }
    }
}

#[test]
fn archive_entries_stay_inside_and_are_plain_files() {
    for name in ["../evil", "model/../../evil", "/etc/evil", "model\\..\\evil", "C:/evil", "./evil", "a//b"] {
        let expected = format!("package PATH: entry '{name}' is not a path inside the package");
        check_zip(|zip| zip.start_file(name, stored()).unwrap(), &expected);
    }
    check_zip(
        |zip| zip.add_symlink("model/link", "/etc/passwd", stored()).unwrap(),
        "package PATH: entry 'model/link' is a link, which packages may not hold",
    );
    check_zip(
        |zip| (0..10_000).for_each(|i| zip.start_file(i.to_string(), stored()).unwrap()),
        "package PATH: it holds more than 10000 files",
    );
}

#[test]
fn an_archive_that_unpacks_to_far_more_than_its_size_is_refused() {
    check_zip(
        |zip| {
            zip.start_file("model/zeros", SimpleFileOptions::default()).unwrap();
            zip.write_all(&vec![0; 20 << 20]).unwrap();
        },
        "package PATH: entry 'model/zeros' unpacks to more than 200 times its size",
    );
}

#[test]
fn a_damaged_archive_is_refused() {
    let changed = |change: fn(Vec<u8>) -> Vec<u8>| {
        move |path: &Path| {
            let mut files = package(BINARY);
            files.insert("same1".to_owned(), Vec::new());
            files.insert("same2".to_owned(), Vec::new());
            write_zip(path, &files);
            fs::write(path, change(fs::read(path).unwrap())).unwrap();
        }
    };
    let unreadable = "package PATH: it is not a readable zip archive: ";
    check_container("p.mlpkg", changed(|_| b"name,age\n".to_vec()), unreadable);
    check_container("p.mlpkg", changed(|_| Vec::new()), unreadable);
    check_container("p.mlpkg", changed(|zip| zip[..zip.len() / 2].to_vec()), unreadable);
    check_container("p.mlpkg", changed(|zip| zip[..zip.len() - 1].to_vec()), unreadable);
    check_container("p.zip", changed(|zip| zip[..zip.len() - 30].to_vec()), unreadable);
    let same = "package PATH: it holds two entries of the same name";
    check_container("p.mlpkg", changed(|zip| replace(&zip, b"same2", b"same1")), same);
    let damaged = "package PATH: 'portend.json': Invalid checksum";
    check_container("p.mlpkg", changed(|zip| replace(&zip, b"portend.mlpkg", b"portend.MLPKG")), damaged);
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_owned();
    let places: Vec<_> = memchr::memmem::find_iter(&bytes, from).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn an_archive_that_understates_a_size_is_refused() {
    let write = |path: &Path| {
        write_zip(path, &package(BINARY));
        let size = (package(BINARY)[MODEL].len() as u32).to_le_bytes();
        // the second of the two sizes that stand side by side is the unpacked one
        let (from, to) = ([size, size].concat(), [size, 10_u32.to_le_bytes()].concat());
        fs::write(path, replace(&fs::read(path).unwrap(), &from, &to)).unwrap();
    };
    let expected = "package PATH: 'model/model.json': File is larger than its declared uncompressed size";
    check_container("p.mlpkg", write, expected);
}

#[test]
fn a_package_without_manifest_is_told_from_a_broken_one() {
    let mut files = package(BINARY);
    files.remove(MANIFEST);
    let foreign = "package PATH: there is no portend.json in its root, so it is not a Portend package. A package made \
        by DataRobot holds proprietary content that nobody else can open: package the original model file instead";
    check_container("p.mlpkg", |path| write_zip(path, &files), foreign);
    check_container("model.json", |path| write_zip(path, &files), foreign);
    let nothing = "PATH is not a model that Portend reads: the directory has no portend.json";
    check_container("p", |path| write_folder(path, &files), nothing);
    files.insert("MLmodel".to_owned(), b"flavors: {}".to_vec());
    let mlflow =
        "PATH is not a model that Portend reads: MLflow model directories are not read yet; serve the model";
    check_container("p", |path| write_folder(path, &files), mlflow);
}

#[test]
fn checksums_cover_each_file_once() {
    let listing = checksums(&package(BINARY));
    let line = |name: &str| listing.lines().find(|line| line.ends_with(name)).unwrap().to_owned() + "\n";
    let extra = |name: &str| format!("{listing}{}  {name}\n", "0".repeat(64));
    for (listing, expected) in [
        (
            listing.replacen(&line(MODEL)[..3], "zzz", 1),
            "PATH: 'model/model.json' does not have the checksum that",
        ),
        (listing.replace(&line(MODEL), ""), "package PATH: checksums.txt does not list 'model/model.json'"),
        (String::new(), "package PATH: checksums.txt does not list 'model/model.json'"),
        (extra("none"), "package PATH: 'none' is listed in checksums.txt but missing"),
        (
            extra("../../etc/passwd"),
            "package PATH: '../../etc/passwd' is listed in checksums.txt but missing",
        ),
        (listing.clone() + &line(MODEL), "package PATH: checksums.txt: 'model/model.json' is listed twice"),
        (
            listing.clone() + &line(MODEL).replace('\n', " \n"),
            "checksums.txt: 'model/model.json' is listed twice",
        ),
        ("abc".to_owned(), "package PATH: checksums.txt: bad line 'abc'"),
    ] {
        let mut files = package(BINARY);
        files.insert("checksums.txt".to_owned(), listing.clone().into_bytes());
        check(&files, &listing, expected);
    }
    let mut files = package(BINARY);
    files.insert("checksums.txt".to_owned(), b"\xff".to_vec());
    check(&files, "not text", "package PATH: 'checksums.txt' is not UTF-8 text");
}

#[cfg(unix)]
#[test]
fn a_directory_holds_plain_files_only() {
    use std::os::unix::fs::symlink;
    let with = |add: fn(&Path)| {
        move |path: &Path| {
            write_folder(path, &package(BINARY));
            add(path);
        }
    };
    let mkfifo = |path: &Path| {
        assert!(
            std::process::Command::new("mkfifo").arg(path.join("model/pipe")).status().unwrap().success()
        );
    };
    for (add, expected) in [
        (
            (|path| symlink("/etc/passwd", path.join("link")).unwrap()) as fn(&Path),
            "package PATH: 'link' is a link, which packages may not hold",
        ),
        (
            |path| symlink("/etc", path.join("model/etc")).unwrap(),
            "package PATH: 'model/etc' is a link, which packages may not hold",
        ),
        (
            |path| {
                fs::rename(path.join(MODEL), path.join("model/real.json")).unwrap();
                symlink("real.json", path.join(MODEL)).unwrap();
            },
            "package PATH: 'model/model.json' is a link, which packages may not hold",
        ),
        (
            |path| {
                fs::rename(path.join(MANIFEST), path.join("real.json")).unwrap();
                symlink("real.json", path.join(MANIFEST)).unwrap();
            },
            "package PATH: 'portend.json' is a link, which packages may not hold",
        ),
        (mkfifo, "package PATH: 'model/pipe' is neither a file nor a directory"),
        (
            |path| fs::create_dir_all(path.join("d/".repeat(20))).unwrap(),
            "/d' lies deeper than 16 directories",
        ),
    ] {
        check_container("p", with(add), expected);
    }
}
