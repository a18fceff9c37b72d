//! Signatures: made here and verified by OpenSSL, made by OpenSSL and verified here, and what a server does with
//! packages that have none or a wrong one.

use std::fs;
use std::path::Path;
use std::process::Command;

use portend_model::package::write_archive;

use crate::package_commands::{created, files_of, json, package, package_ok, write_directory};
use crate::repository;
use crate::running_server::{RunningServer, portend};

fn openssl(folder: &Path, line: &str) -> bool {
    let done = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
    done.unwrap().status.success()
}

/// A pair of keys, `NAME.pem` and `NAME.pub.pem`.
fn keys(folder: &Path, name: &str) {
    assert!(openssl(folder, &format!("genpkey -algorithm ed25519 -out {name}.pem")));
    assert!(openssl(folder, &format!("pkey -in {name}.pem -pubout -out {name}.pub.pem")));
}

/// A folder with `p.mlpkg`, `unsigned.mlpkg`, the directory `d` of the same files, and the keys `ours` and `other`;
/// the first and the last package are signed with `ours`.
fn signed() -> Option<tempfile::TempDir> {
    if !openssl_is_here() {
        return None;
    }
    let folder = created("xgb_penguins");
    let path = folder.path();
    keys(path, "ours");
    keys(path, "other");
    fs::copy(path.join("p.mlpkg"), path.join("unsigned.mlpkg")).unwrap();
    unpack(&path.join("p.mlpkg"), &path.join("d"));
    for package in ["p.mlpkg", "d"] {
        let done = package_ok(path, &["sign", package, "--key", "ours.pem", "--key-id", "ops"]);
        assert_eq!(done.out, format!("{package} is signed with key 'ops'\n"));
    }
    Some(folder)
}

/// True when openssl can be run. CI must have it; elsewhere its absence is said aloud.
fn openssl_is_here() -> bool {
    let here = Command::new("openssl").arg("version").output().is_ok_and(|done| done.status.success());
    assert!(here || std::env::var("CI").as_deref() != Ok("true"), "these tests need openssl: install it");
    if !here {
        println!("!!!!!!!! LEFT OUT: tests of signatures, because openssl is not installed !!!!!!!!");
    }
    here
}

fn unpack(archive: &Path, to: &Path) {
    zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap().extract(to).unwrap();
}

/// The line about the signature in what `verify` prints, and the exit code.
fn signature(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let done = package(folder, &[&["verify"], arguments].concat());
    let line = done.out.lines().find(|line| line.starts_with("signature")).unwrap_or(&done.log);
    (done.code, line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
}

const WRONG: &str = "its signature (of key 'ops') is by none of the given public keys, or checksums.txt was changed \
                     after it was signed";

#[test]
fn openssl_verifies_what_is_signed_here() {
    let Some(folder) = signed() else { return };
    unpack(&folder.path().join("p.mlpkg"), &folder.path().join("u"));
    for package in ["d", "u"] {
        let line = |key: &str| {
            format!(
                "pkeyutl -verify -rawin -pubin -inkey {key}.pub.pem -sigfile {package}/signature.ed25519 -in \
                 {package}/checksums.txt"
            )
        };
        assert!(openssl(folder.path(), &line("ours")), "{package}");
        assert!(!openssl(folder.path(), &line("other")), "{package}");
        let note = json(&folder.path().join(package).join("signature.json"));
        assert_eq!((&note["key_id"], &note["algorithm"]), (&"ops".into(), &"ed25519".into()));
        assert!(note["created"].as_str().unwrap().ends_with('Z'), "{note}");
    }
    let (unsigned, signed) = (files_of(&folder.path().join("d")), files_of(&folder.path().join("u")));
    assert_eq!(unsigned.keys().collect::<Vec<_>>(), signed.keys().collect::<Vec<_>>());
}

#[test]
fn signatures_by_openssl_are_verified_here() {
    let Some(folder) = signed() else { return };
    for key in ["ours", "other"] {
        let line =
            format!("pkeyutl -sign -rawin -inkey {key}.pem -in d/checksums.txt -out d/signature.ed25519");
        assert!(openssl(folder.path(), &line));
        let public = format!("{key}.pub.pem");
        assert_eq!(signature(folder.path(), &["d", "--public-key", &public]), (0, format!("ok by {public}")));
    }
    assert_eq!(
        signature(folder.path(), &["d", "--public-key", "ours.pub.pem"]),
        (1, format!("FAILED {WRONG}"))
    );
}

#[test]
fn a_signature_leaves_the_other_entries_of_an_archive_as_they_are() {
    let Some(folder) = signed() else { return };
    let raw = |name: &str| {
        let mut zip = zip::ZipArchive::new(fs::File::open(folder.path().join(name)).unwrap()).unwrap();
        let mut entries = Vec::new();
        for i in 0..zip.len() {
            let mut entry = zip.by_index_raw(i).unwrap();
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).unwrap();
            entries.push((entry.name().unwrap().into_owned(), entry.unix_mode(), bytes));
        }
        entries
    };
    let (before, after) = (raw("unsigned.mlpkg"), raw("p.mlpkg"));
    assert_eq!(after[..before.len()], before[..]);
    let added: Vec<_> = after[before.len()..].iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(added, ["signature.ed25519", "signature.json"]);
    // signing again replaces the signature and adds nothing
    package_ok(
        folder.path(),
        &["sign", "p.mlpkg", "--key", "other.pem", "--created", "2026-01-31T12:00:00Z"],
    );
    assert_eq!(raw("p.mlpkg").len(), after.len());
    assert_eq!(signature(folder.path(), &["p.mlpkg", "--public-key", "other.pub.pem"]).0, 0);
    let once = fs::read(folder.path().join("p.mlpkg")).unwrap();
    package_ok(
        folder.path(),
        &["sign", "p.mlpkg", "--key", "other.pem", "--created", "2026-01-31T12:00:00Z"],
    );
    assert!(
        once == fs::read(folder.path().join("p.mlpkg")).unwrap(),
        "the same key and time give other bytes"
    );
}

#[test]
fn a_package_without_checksums_gets_them_when_it_is_signed() {
    let Some(folder) = signed() else { return };
    let mut files = files_of(&folder.path().join("d"));
    for name in ["checksums.txt", "signature.ed25519", "signature.json"] {
        files.remove(name).unwrap();
    }
    write_directory(&folder.path().join("bare"), &files);
    write_archive(&files, fs::File::create(folder.path().join("bare.mlpkg")).unwrap()).unwrap();
    for package in ["bare", "bare.mlpkg"] {
        package_ok(folder.path(), &["sign", package, "--key", "ours.pem"]);
        assert_eq!(signature(folder.path(), &[package, "--public-key", "ours.pub.pem"]).0, 0, "{package}");
    }
    let written = files_of(&folder.path().join("bare"));
    assert_eq!(written["checksums.txt"], files_of(&folder.path().join("d"))["checksums.txt"]);
}

#[test]
fn verify_says_what_is_wrong_with_a_signature() {
    let Some(folder) = signed() else { return };
    let path = folder.path();
    let ours = ["--public-key", "ours.pub.pem"];
    let other = ["--public-key", "other.pub.pem"];
    let with = |package: &str, files: &[(&str, &[u8])]| {
        let mut all = files_of(&path.join("d"));
        all.extend(files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
        write_archive(&all, fs::File::create(path.join(package)).unwrap()).unwrap();
    };
    with("short.mlpkg", &[("signature.ed25519", &[1; 63])]);
    with("zero.mlpkg", &[("signature.ed25519", &[0; 64])]);
    with("note.mlpkg", &[("signature.json", b"{")]);
    with("rsa.mlpkg", &[("signature.json", b"{\"algorithm\": \"rsa\"}")]);
    let json = "FAILED signature.json: EOF while parsing an object at line 1 column 1";
    for (arguments, code, expected) in [
        (["p.mlpkg"].as_slice(), 0, "unchecked no public key was given; the package names key 'ops'"),
        (&["unsigned.mlpkg"], 0, "absent it is not signed"),
        (&["p.mlpkg", ours[0], ours[1]], 0, "ok by ours.pub.pem"),
        (&["p.mlpkg", other[0], other[1], ours[0], ours[1]], 0, "ok by ours.pub.pem"),
        (&["p.mlpkg", other[0], other[1]], 1, &format!("FAILED {WRONG}")),
        (&["p.mlpkg", other[0], other[1], "--signature-policy", "warn"], 0, &format!("WARNING {WRONG}")),
        (&["unsigned.mlpkg", ours[0], ours[1]], 1, "FAILED it is not signed"),
        (&["unsigned.mlpkg", ours[0], ours[1], "--signature-policy", "warn"], 0, "absent it is not signed"),
        (&["short.mlpkg", ours[0], ours[1]], 1, "FAILED signature.ed25519 has 63 bytes, a signature has 64"),
        (&["zero.mlpkg", ours[0], ours[1]], 1, &format!("FAILED {WRONG}")),
        (&["note.mlpkg", ours[0], ours[1]], 1, json),
        (&["rsa.mlpkg", ours[0], ours[1]], 1, "FAILED signature.json: algorithm 'rsa' is not 'ed25519'"),
    ] {
        assert_eq!(signature(path, arguments), (code, expected.to_owned()), "{arguments:?}");
    }
}

#[test]
fn keys_that_are_none_are_told_apart() {
    let Some(folder) = signed() else { return };
    let path = folder.path();
    assert!(openssl(path, "genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out ec.pem"));
    assert!(openssl(path, "pkey -in ec.pem -pubout -out ec.pub.pem"));
    assert!(openssl(path, "pkey -in ours.pem -aes256 -passout pass:x -out locked.pem"));
    let private = "it holds no Ed25519 private key as unencrypted PKCS#8 PEM";
    for (key, reason) in [
        ("ec.pem", "the key is of another algorithm or damaged (WrongAlgorithm)"),
        ("locked.pem", "the key is encrypted"),
        ("ours.pub.pem", "it is a public key"),
        ("train.csv", "there is no 'BEGIN PRIVATE KEY'"),
    ] {
        let done = package(path, &["sign", "p.mlpkg", "--key", key]);
        let expected = format!(
            "portend: key {key}: {private}: {reason}; `openssl genpkey -algorithm ed25519` writes one\n"
        );
        assert_eq!((done.code, done.log), (1, expected));
    }
    for (key, reason) in [
        ("ec.pub.pem", "the key is of another algorithm"),
        ("ours.pem", "it is a private key"),
        ("train.csv", "there is no 'BEGIN PUBLIC KEY'"),
    ] {
        let done = package(path, &["verify", "p.mlpkg", "--public-key", key]);
        let expected =
            format!("portend: public key {key}: it holds no Ed25519 public key as PEM: {reason}; ");
        assert!(done.code == 64 && done.log.starts_with(&expected), "{done:?}");
    }
    let done = package(path, &["sign", "model.json", "--key", "ours.pem"]);
    let expected = "portend: package model.json: it is a bare model file: make a package of it first (`portend package \
                    create`)\n";
    assert_eq!((done.code, done.log.as_str()), (1, expected));
}

/// Serves a package in `folder`; None when it is served, else the reason why not, with the exit code. The log of a
/// server that came up is given beside.
fn serve(
    folder: &Path,
    package: &str,
    more: &[&str],
    environment: &[(&str, &str)],
) -> Result<String, (i32, String)> {
    let command = || {
        let mut command = portend();
        command.args(["serve", package, "--port", "0"]).args(more).envs(environment.iter().copied());
        command.current_dir(folder);
        command
    };
    let refused = package == "unsigned.mlpkg" || package == "model.json" || more.contains(&"other.pub.pem");
    let strict =
        !(more.contains(&"warn") || more.contains(&"off") || more.is_empty() && environment.is_empty());
    if refused && strict {
        let done = command().output().unwrap();
        let log = String::from_utf8(done.stderr).unwrap();
        return Err((done.status.code().unwrap(), log.lines().last().unwrap_or_default().to_owned()));
    }
    Ok(RunningServer::start(command()).stop())
}

#[test]
fn a_server_serves_only_what_its_policy_trusts() {
    let Some(folder) = signed() else { return };
    let ours = ["--public-key", "ours.pub.pem"];
    let warn = [ours[0], ours[1], "--signature-policy", "warn"];
    let keys = |value| [("PORTEND_SIGNATURE_PUBLIC_KEYS", value)];
    let check = |package: &str, more: &[&str], environment: &[(&str, &str)], expected: Result<&str, &str>| {
        let found = serve(folder.path(), package, more, environment);
        let found = found.map_err(|(code, line)| format!("{code}: {line}"));
        match (found, expected) {
            (Ok(log), Ok(expected)) => {
                let lines: Vec<_> = log.lines().filter(|line| line.contains(" is served, but ")).collect();
                assert_eq!(lines.join("\n"), expected);
            }
            (found, expected) => assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned)),
        }
    };
    let absent = "1: portend: package unsigned.mlpkg: it is not signed (`portend package sign` does that)";
    check("p.mlpkg", &ours, &[], Ok(""));
    check("d", &ours, &[], Ok(""));
    check("p.mlpkg", &[], &keys("other.pub.pem:ours.pub.pem"), Ok(""));
    check("unsigned.mlpkg", &[], &[], Ok(""));
    check("unsigned.mlpkg", &[ours[0], ours[1], "--signature-policy", "off"], &[], Ok(""));
    check("unsigned.mlpkg", &ours, &[], Err(absent));
    check("unsigned.mlpkg", &[], &keys("ours.pub.pem"), Err(absent));
    check("unsigned.mlpkg", &warn, &[], {
        Ok("model 'unsigned' is served, but it is not signed (`portend package sign` does that)")
    });
    check(
        "p.mlpkg",
        &["--public-key", "other.pub.pem"],
        &[],
        Err(&format!("1: portend: package p.mlpkg: {WRONG}")),
    );
    let warned = format!("model 'p' is served, but {WRONG}");
    check("p.mlpkg", &["--public-key", "other.pub.pem", "--signature-policy", "warn"], &[], Ok(&warned));
    check("model.json", &ours, &[], {
        Err("1: portend: package model.json: it is a bare model file, which cannot be signed")
    });
    check("model.json", &warn, &[], {
        Ok("model 'model' is served, but it is a bare model file, which cannot be signed")
    });
}

#[test]
fn settings_of_signatures_that_cannot_be_used_are_named() {
    let Some(folder) = signed() else { return };
    let lacking = "a signature policy other than off needs a public key: --public-key FILE or \
                   PORTEND_SIGNATURE_PUBLIC_KEYS";
    for (more, environment, expected) in [
        (&["--signature-policy", "require"][..], &[][..], lacking),
        (&[], &[("PORTEND_SIGNATURE_POLICY", "warn")], lacking),
        (
            &[],
            &[("PORTEND_SIGNATURE_POLICY", "on")],
            "PORTEND_SIGNATURE_POLICY is 'on': one of off, warn, require is needed, for instance warn",
        ),
        (&["--public-key", "none.pem"], &[], "public key none.pem: No such file or directory (os error 2)"),
    ] {
        let mut command = portend();
        command.args(["serve", "p.mlpkg", "--port", "0"]).args(more).envs(environment.iter().copied());
        let done = command.current_dir(folder.path()).output().unwrap();
        let log = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), log), (Some(64), format!("portend: {expected}\n")));
    }
}

#[test]
fn in_a_repository_the_packages_that_are_not_trusted_answer_503() {
    let Some(folder) = signed() else { return };
    let models = folder.path().join("models");
    for (id, package) in [("good", "p.mlpkg"), ("bad", "unsigned.mlpkg")] {
        fs::create_dir_all(models.join(id)).unwrap();
        fs::copy(folder.path().join(package), models.join(id).join("x.mlpkg")).unwrap();
    }
    let mut command = portend();
    command
        .args(["serve", "models", "--port", "0", "--public-key", "ours.pub.pem"])
        .current_dir(folder.path());
    let server = RunningServer::start(command);
    let rows =
        fs::read_to_string(repository("testdata/models/xgb_penguins/package/samples/input.csv")).unwrap();
    assert_eq!(server.post_csv("/deployments/good/predictions", &rows).status, 200);
    let answer = server.post_csv("/deployments/bad/predictions", &rows);
    let expected = "model 'bad' could not be loaded: package x.mlpkg: it is not signed (`portend package sign` does that)";
    assert_eq!(
        (answer.status, answer.text()),
        (503, &*serde_json::json!({ "message": expected }).to_string())
    );
    server.stop();
}
