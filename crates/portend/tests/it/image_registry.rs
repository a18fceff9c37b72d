//! `portend image` against Debian's `docker-registry`, with a password and with TLS, and `skopeo` as a second reader.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use serde_json::json;

use crate::image_build::{image, image_ok, inspected, program, workplace};
use crate::is_here;
use crate::running_server::wait_for;

/// A registry that ends with the test.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    /// Starts it with what lies in `folder`: its store, a password, and a certificate if there is one.
    fn start(folder: &Path, tls: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        fs::write(folder.join("htpasswd"), htpasswd(folder)).unwrap();
        let at = folder.display();
        let tls = if tls {
            format!(", tls: {{certificate: {at}/cert.pem, key: {at}/key.pem}}")
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {at}/store}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '{address}'{tls}}}\nauth: {{htpasswd: {{realm: portend, path: {at}/htpasswd}}}}\n"
        );
        fs::write(folder.join("registry.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.join("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        wait_for("the registry", || std::net::TcpStream::connect(&address).ok());
        Self { process, address }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// A line of names and passwords; the registry takes bcrypt only.
fn htpasswd(folder: &Path) -> String {
    let done =
        Command::new("htpasswd").args(["-Bbn", "portend", "s3cret"]).current_dir(folder).output().unwrap();
    String::from_utf8(done.stdout).unwrap()
}

/// Writes credentials as `docker login` does, in the home that [`image`] has.
fn log_in(folder: &Path, registry: &str, password: &str) {
    let auth = base64::prelude::BASE64_STANDARD.encode(format!("portend:{password}"));
    fs::create_dir_all(folder.join(".docker")).unwrap();
    let file = json!({"auths": {registry: {"auth": auth}}});
    fs::write(folder.join(".docker/config.json"), file.to_string()).unwrap();
}

fn programs_are_here() -> bool {
    ["docker-registry", "htpasswd", "skopeo", "openssl"]
        .into_iter()
        .all(|program| is_here(program, "images in a registry"))
}

#[test]
fn an_image_goes_to_a_registry_and_back() {
    if !programs_are_here() {
        return;
    }
    let folder = workplace();
    let at = folder.path();
    let registry = Registry::start(at, false);
    let name = |rest: &str| format!("{}/{rest}", registry.address);
    log_in(at, &registry.address, "s3cret");
    let built = ["build", "p.mlpkg", "--binary", "amd64", "--binary", "arm64", "--to"];
    let digest = image_ok(at, &[&built[..], &[&name("team/churn:1")]].concat());
    assert_eq!(image_ok(at, &["exists", &name("team/churn:1")]), digest);
    let raw = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", "--creds", "portend:s3cret"])
        .arg(format!("docker://{}", name("team/churn:1")))
        .output()
        .unwrap();
    assert_eq!(
        portend_image::Digest::of(&raw.stdout).as_str(),
        digest,
        "{}",
        String::from_utf8_lossy(&raw.stderr)
    );
    assert_eq!(inspected(at, &name("team/churn:1"))["images"].as_array().unwrap().len(), 2);
    // a second push sends nothing, and one to another repository takes the blobs from the first
    for to in ["team/churn:2", "other/churn:1"] {
        let done = image(at, &["copy", &name("team/churn:1"), &name(to)]);
        assert_eq!((done.out.trim_end(), done.code), (digest.as_str(), 0), "{}", done.log);
        assert!(done.log.contains("0 sent"), "{to}: {}", done.log);
    }
    assert_eq!(image_ok(at, &["tags", &name("team/churn")]), "1\n2");
    for to in ["a.tar", "b.tar.zst", "oci:layout:v1"] {
        assert_eq!(image_ok(at, &["pull", &name("team/churn:1"), to]), digest);
        assert_eq!(image_ok(at, &["push", to, &name("back/churn:1")]), digest);
    }
    let one = image_ok(at, &["pull", &name("team/churn:1"), "oci:layout:arm", "--platform", "linux/arm64"]);
    assert_eq!(inspected(at, &name("team/churn:1"))["images"][1]["digest"], one.as_str());
    let by_digest = name(&format!("team/churn@{digest}"));
    assert_eq!(image_ok(at, &["exists", &by_digest]), digest);
    assert_eq!(image_ok(at, &["delete", &name("team/churn:2")]), digest);
    for gone in [&name("team/churn:1"), &by_digest] {
        assert_eq!(image(at, &["exists", gone]).code, 1);
    }
}

#[test]
fn each_trouble_with_a_registry_has_its_own_words() {
    if !programs_are_here() {
        return;
    }
    let folder = workplace();
    let at = folder.path();
    let registry = Registry::start(at, false);
    let name = format!("{}/team/churn:1", registry.address);
    image_ok(at, &["build", "p.mlpkg", "--binary", "amd64", "--to", "p.tar"]);
    let check = |arguments: &[&str], code: i32, reason: &str| {
        let done = image(at, arguments);
        assert!(done.code == code && done.log.contains(reason), "{arguments:?}: {} {}", done.code, done.log);
        assert!(!done.log.contains("s3cret") && !done.log.contains("wr0ng"), "{}", done.log);
    };
    check(&["push", "p.tar", &name], 1, "answers 401");
    log_in(at, &registry.address, "wr0ng");
    check(&["push", "p.tar", &name], 1, "answers 401");
    check(&["exists", &name], 2, "authentication required (UNAUTHORIZED); log in: docker login");
    fs::write(at.join("password"), "s3cret\n").unwrap();
    let given = ["--username", "portend", "--password-file", "password"];
    image_ok(at, &[&["push", "p.tar", name.as_str()], &given[..]].concat());
    log_in(at, &registry.address, "s3cret");
    let absent = format!("{}/team/churn:2", registry.address);
    check(&["pull", &absent, "q.tar"], 1, "answers 404: manifest unknown (MANIFEST_UNKNOWN)");
    check(
        &["pull", &name, "q.tar", "--platform", "linux/s390x"],
        1,
        "is an image for linux/amd64, not linux/s390x",
    );
    let two = [&["copy", name.as_str(), "other.example/a:1"], &given[..]].concat();
    check(&two, 64, "--username is for one registry, and there are two");
    fs::write(at.join(".docker/config.json"), "{\"auths\": s3cret").unwrap();
    check(&["exists", &name], 2, "it is not what Docker writes there, in line 1 column 11");
    let address = registry.address.clone();
    drop(registry);
    log_in(at, &address, "s3cret");
    check(&["exists", &name], 2, "cannot ask");
}

#[test]
fn a_credential_helper_is_asked() {
    if !programs_are_here() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let folder = workplace();
    let at = folder.path();
    let registry = Registry::start(at, false);
    let name = format!("{}/team/churn:1", registry.address);
    fs::create_dir_all(at.join("bin")).unwrap();
    let helper = at.join("bin/docker-credential-mine");
    let script = "#!/bin/sh\nread host\n[ \"$1\" = get ] && printf '{\"ServerURL\":\"%s\",\"Username\":\"portend\",\"Secret\":\"s3cret\"}' $host\n";
    fs::File::create(&helper).unwrap().write_all(script.as_bytes()).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(at.join(".docker")).unwrap();
    let file = json!({"credHelpers": {&registry.address: "mine"}});
    fs::write(at.join(".docker/config.json"), file.to_string()).unwrap();
    let mut command = crate::running_server::portend();
    command.args(["image", "build", "p.mlpkg", "--binary", "amd64", "--to", &name]).current_dir(at);
    command.env("HOME", at).env_remove("DOCKER_CONFIG");
    command.env("PATH", format!("{}:{}", at.join("bin").display(), std::env::var("PATH").unwrap()));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_registry_with_a_certificate_of_ones_own_is_trusted_when_that_is_said() {
    if !programs_are_here() {
        return;
    }
    let folder = workplace();
    let at = folder.path();
    let script = "new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes' && \
                  openssl req -x509 $new -days 2 -subj /CN=CA -keyout ca.key -out ca.pem && \
                  openssl req $new -subj /CN=registry -keyout key.pem -out r.csr && \
                  printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext && \
                  openssl x509 -req -in r.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem";
    let made = Command::new("sh").args(["-c", script]).current_dir(at).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let registry = Registry::start(at, true);
    log_in(at, &registry.address, "s3cret");
    let name = format!("{}/team/churn:1", registry.address);
    program(&at.join("amd64"), 62, &vec![1; 200_000]);
    let build = ["build", "p.mlpkg", "--binary", "amd64", "--to", &name];
    let done = image(at, &build);
    assert!(
        done.code == 1 && done.log.contains("certificate") && done.log.contains("--ca-file"),
        "{}",
        done.log
    );
    let digest = image_ok(at, &[&build[..], &["--ca-file", "ca.pem"]].concat());
    assert_eq!(image_ok(at, &["exists", &name, "--insecure-registry", &registry.address]), digest);
    fs::write(at.join("empty.pem"), "").unwrap();
    let done = image(at, &["exists", &name, "--ca-file", "empty.pem"]);
    assert!(done.log.contains("holds no certificate"), "{}", done.log);
}
