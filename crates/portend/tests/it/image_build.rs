//! `portend image build`: what is in an image, that the same input gives the same bytes, and what is refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::package_commands::{Done, created};
use crate::running_server::portend;

/// Runs `portend image …` in `folder`.
pub(crate) fn image(folder: &Path, arguments: &[&str]) -> Done {
    let mut command = portend();
    command.env("HOME", folder).env_remove("DOCKER_CONFIG").env_remove("SOURCE_DATE_EPOCH");
    let done = command.arg("image").args(arguments).current_dir(folder).output().unwrap();
    Done {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        log: String::from_utf8(done.stderr).unwrap(),
    }
}

/// The same for a command that must succeed; what it printed.
pub(crate) fn image_ok(folder: &Path, arguments: &[&str]) -> String {
    let done = image(folder, arguments);
    assert_eq!(done.code, 0, "{arguments:?}: {}{}", done.out, done.log);
    done.out.trim_end().to_owned()
}

/// What `image inspect` tells of a place.
pub(crate) fn inspected(folder: &Path, place: &str) -> Value {
    serde_json::from_str(&image_ok(folder, &["inspect", place, "--output", "json"])).unwrap()
}

/// A file with the headers of a static program, which is all that the builder looks at.
pub(crate) fn program(path: &Path, machine: u8, rest: &[u8]) {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[16], bytes[18], bytes[32], bytes[54]) = (3, machine, 64, 56);
    fs::write(path, [&bytes, rest].concat()).unwrap();
}

/// A folder with a package `p.mlpkg` and programs for both processors.
pub(crate) fn workplace() -> tempfile::TempDir {
    let folder = created("xgb_penguins");
    program(&folder.path().join("amd64"), 62, b"the program");
    program(&folder.path().join("arm64"), 183, b"the program for the other processor");
    folder
}

const BOTH: [&str; 4] = ["--binary", "amd64", "--binary", "arm64"];

#[test]
fn two_builds_have_one_digest_whatever_folder_time_and_umask() {
    let (one, other) = (workplace(), tempfile::tempdir().unwrap());
    let there = other.path().join("a/b");
    let script = format!(
        "umask 077 && mkdir -p {0} && for f in p.mlpkg amd64 arm64; do cat {1}/$f > {0}/$f; done && \
         touch -d '2001-01-01' {0}/*",
        there.display(),
        one.path().display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    for (arguments, place) in [
        (&["--binary", "amd64"][..], "one.tar"),
        (&BOTH, "both.tar"),
        (&["--binary", "amd64", "--compression", "zstd"], "zstd.tar"),
        (&["--binary", "amd64", "--compression", "none", "--created", "2026-01-31T12:00:00Z"], "none.tar.gz"),
    ] {
        let arguments = [&["build", "p.mlpkg", "--to", place], arguments].concat();
        let digests = [one.path(), &there].map(|folder| image_ok(folder, &arguments));
        assert_eq!(digests[0], digests[1], "{arguments:?}");
        let bytes = [one.path(), &there].map(|folder| fs::read(folder.join(place)).unwrap());
        assert!(bytes[0] == bytes[1], "{place} has other bytes");
        let planned = [&arguments[..], &["--dry-run", "--output", "json"]].concat();
        let planned: Value = serde_json::from_str(&image_ok(one.path(), &planned)).unwrap();
        assert_eq!(planned["digest"], digests[0], "{arguments:?}");
    }
}

#[test]
fn one_byte_of_the_model_changes_one_layer() {
    let folder = workplace();
    let layers = |place: &str| {
        let found = inspected(folder.path(), place);
        let layers = found["images"][0]["layers"].as_array().unwrap().clone();
        layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let model = crate::package_commands::Case::named("xgb_penguins").model();
    let bytes = fs::read(&model).unwrap();
    fs::write(folder.path().join("m.json"), &bytes).unwrap();
    image_ok(folder.path(), &["build", "m.json", "--binary", "amd64", "--to", "oci:o:a"]);
    fs::write(folder.path().join("m.json"), [&bytes[..], b"\n"].concat()).unwrap();
    image_ok(folder.path(), &["build", "m.json", "--binary", "amd64", "--to", "oci:o:b"]);
    let (a, b) = (layers("oci:o:a"), layers("oci:o:b"));
    assert!(a.len() == 2 && a[0] == b[0] && a[1] != b[1], "{a:?} {b:?}");
}

#[test]
fn an_image_says_what_it_serves_and_how() {
    let folder = workplace();
    let arguments = ["build", "p.mlpkg", "--to", "p.tar", "--label", "team=fraud"];
    image_ok(folder.path(), &[&arguments[..], &BOTH].concat());
    let found = inspected(folder.path(), "p.tar:portend/xgb_penguins:1");
    assert_eq!(found["media_type"], "application/vnd.oci.image.index.v1+json");
    let images = found["images"].as_array().unwrap();
    let platforms: Vec<_> = images.iter().map(|image| &image["platform"]).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(images[0]["layers"][1], images[1]["layers"][1], "the model is in both images once");
    let config = &images[0]["config"]["config"];
    let expected = json!({
        "User": "65532:65532", "Entrypoint": ["/usr/local/bin/portend", "serve"], "WorkingDir": "/",
        "ExposedPorts": {"8080/tcp": {}},
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PORTEND_HOST=0.0.0.0"],
        "Labels": config["Labels"],
    });
    assert_eq!(*config, expected);
    let labels = &config["Labels"];
    let mut command = portend();
    command.args(["package", "inspect", "p.mlpkg", "--output", "json"]).current_dir(folder.path());
    let verified: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    for (label, value) in [
        ("portend.model.id", json!("xgb_penguins")),
        ("portend.model.version", json!("1")),
        ("portend.model.target", verified["target"]["name"].clone()),
        ("org.opencontainers.image.version", json!("1")),
        ("team", json!("fraud")),
    ] {
        assert_eq!((&labels[label], &images[0]["annotations"][label]), (&value, &value), "{label}");
    }
    let listed = |layer: usize| {
        let digest =
            images[0]["layers"][layer]["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
        let script = format!("tar xOf p.tar {digest} | tar tvzf - --full-time");
        let done = Command::new("sh")
            .args(["-c", &script])
            .env("TZ", "UTC")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let epoch = "1970-01-01 00:00:00";
    let directory = |path: &str| format!("drwxr-xr-x 0/0 0 {epoch} {path}");
    let expected = ["usr/", "usr/local/", "usr/local/bin/"].map(directory);
    assert_eq!(listed(0)[..3], expected);
    assert_eq!(listed(0)[3], format!("-rwxr-xr-x 0/0 75 {epoch} usr/local/bin/portend"));
    let size = fs::metadata(folder.path().join("p.mlpkg")).unwrap().len();
    assert_eq!(listed(1)[..3], ["opt/", "opt/ml/", "opt/ml/model/"].map(directory));
    assert_eq!(listed(1)[3], format!("-rw-r--r-- 0/0 {size} {epoch} opt/ml/model/xgb_penguins.mlpkg"));
}

#[test]
fn an_image_is_built_on_another_and_keeps_what_that_says() {
    let folder = workplace();
    image_ok(
        folder.path(),
        &[&["build", "--self", "--to", "oci:base:v1", "--label", "a=b"][..], &BOTH].concat(),
    );
    let base = inspected(folder.path(), "oci:base:v1");
    program(&folder.path().join("other"), 183, b"newer");
    let arguments = ["build", "p.mlpkg", "--base", "oci:base:v1", "--binary", "other", "--to", "p.tar"];
    image_ok(folder.path(), &arguments);
    let found = inspected(folder.path(), "p.tar");
    let (below, built) = (&base["images"][1], &found["images"][0]);
    let layers = built["layers"].as_array().unwrap();
    assert_eq!(layers[..2], below["layers"].as_array().unwrap()[..]);
    assert_eq!((layers.len(), &built["platform"]), (4, &json!("linux/arm64")));
    assert_eq!(built["config"]["history"].as_array().unwrap().len(), 4);
    assert_eq!(built["config"]["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
    assert_eq!(built["config"]["config"]["Env"].as_array().unwrap().len(), 2);
    assert_eq!(built["config"]["config"]["Labels"]["a"], "b");
    // upon an image with a model: of that nothing is said or served
    let on_a_model = ["build", "--self", "--base", "p.tar", "--binary", "other", "--to", "r.tar"];
    image_ok(folder.path(), &on_a_model);
    let labels = inspected(folder.path(), "r.tar")["images"][0]["config"]["config"]["Labels"].clone();
    assert_eq!((&labels["a"], &labels["portend.model.id"]), (&json!("b"), &Value::Null));
    assert_eq!(built["annotations"]["org.opencontainers.image.base.digest"], below["digest"]);
    let amd64 = ["build", "p.mlpkg", "--base", "p.tar", "--binary", "amd64", "--to", "q.tar"];
    let done = image(folder.path(), &amd64);
    assert!(done.log.contains("it is for linux/arm64, and the binary is for linux/amd64"), "{}", done.log);
}

#[test]
fn a_proxy_that_cannot_be_meant_and_a_password_that_is_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let check = |proxy: &str, more: &[&str], reason: &str| {
        let mut command = portend();
        command.env("HTTPS_PROXY", proxy).env("HOME", folder.path()).current_dir(folder.path());
        let done = command.args(["image", "tags", "reg.example/a"]).args(more).output().unwrap();
        let log = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), log.contains(reason)), (Some(64), true), "{log}");
    };
    check("::garbage::", &[], "HTTPS_PROXY names no proxy");
    check("socks5://127.0.0.1:1", &[], "HTTPS_PROXY names no proxy");
    check("", &["--ca-file", "empty"], "empty holds no certificate");
    check("", &["--username", "a", "--password-file", "empty"], "empty is empty: it holds no password");
}

#[test]
fn trouble_with_temporary_files_names_their_folder() {
    let folder = workplace();
    image_ok(folder.path(), &["build", "p.mlpkg", "--binary", "amd64", "--to", "a.tar.gz"]);
    for arguments in
        [&["build", "p.mlpkg", "--binary", "amd64", "--to", "b.tar"][..], &["inspect", "a.tar.gz"]]
    {
        let mut command = portend();
        command.env("TMPDIR", "/nowhere").arg("image").args(arguments).current_dir(folder.path());
        let done = command.output().unwrap();
        let log = String::from_utf8_lossy(&done.stderr);
        assert!(log.contains("temporary files in /nowhere, which TMPDIR chooses: No such file"), "{log}");
        assert_eq!(done.status.code(), Some(1));
    }
}

#[test]
fn what_would_not_serve_is_not_built() {
    let folder = workplace();
    let differs = folder.path().join("differs");
    crate::command_line::write_package_with_other_samples(&differs);
    fs::write(folder.path().join("broken.json"), "{}").unwrap();
    fs::write(folder.path().join("script"), "#!/bin/sh\n").unwrap();
    let (own, amd64) =
        ("it needs shared libraries, and an image without a base has none", ["--binary", "amd64"]);
    for (arguments, code, reason) in [
        (&["differs", amd64[0], amd64[1]][..], 1, "sample row 1: the package expects"),
        (&["broken.json", amd64[0], amd64[1]], 1, "not an XGBoost JSON model"),
        (&["none.mlpkg", amd64[0], amd64[1]], 1, "No such file"),
        (
            &["https://u:pw@h/x.mlpkg?sig=s", amd64[0], amd64[1]],
            1,
            "a model at https://: an image is built of a file",
        ),
        (&["p.mlpkg"], 1, own),
        (&["p.mlpkg", "--binary", "script"], 1, "it is not a program for Linux"),
        (&["p.mlpkg", "--binary", "amd64", "--binary", "amd64"], 2, "two binaries for linux/amd64"),
        (&["p.mlpkg", amd64[0], amd64[1], "--name", "UPPER"], 2, "'UPPER' names no image"),
        (&["p.mlpkg", amd64[0], amd64[1], "--label", "x"], 64, "KEY=VALUE is needed"),
        (&["p.mlpkg", amd64[0], amd64[1], "--signature-policy", "require"], 64, "needs a public key"),
        (&["p.mlpkg", "--self"], 2, "cannot be used with"),
    ] {
        let done = image(folder.path(), &[&["build", "--to", "out.tar"], arguments].concat());
        assert_eq!(done.code, code, "{arguments:?}: {}", done.log);
        assert!(done.log.contains(reason), "{arguments:?}: {}", done.log);
        assert!(!folder.path().join("out.tar").exists());
    }
}
