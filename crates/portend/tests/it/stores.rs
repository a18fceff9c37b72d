//! Packages on a web server: what is kept of them here, and by which settings. `tests/clients/artifacts.py` has the
//! stores of the clouds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};

/// A web server that gives one package, whichever it has at the moment.
struct Web {
    address: SocketAddr,
    package: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Web {
    fn start(package: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let package = Arc::new(Mutex::new(Some(package)));
        let given = Arc::clone(&package);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                let package = given.lock().unwrap().clone();
                let mut answer = match &package {
                    Some(bytes) => {
                        format!(
                            "HTTP/1.1 200 OK\r\nETag: \"{}\"\r\nContent-Length: {}",
                            bytes.len(),
                            bytes.len()
                        )
                    }
                    None => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0".to_owned(),
                }
                .into_bytes();
                answer.extend(b"\r\nConnection: close\r\n\r\n");
                if head.starts_with(b"GET") {
                    answer.extend(package.unwrap_or_default());
                }
                _ = stream.write_all(&answer);
            }
        });
        Self { address, package }
    }

    fn serve(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = portend();
        let url = format!("http://{}/models/x.mlpkg?sig=sesame", self.address);
        command.args(["serve", &url, "--port", "0", "--repository-ttl", "0"]).envs(settings.iter().copied());
        command
    }
}

fn package(name: &str) -> Vec<u8> {
    std::fs::read(repository("examples/demo").join(name)).unwrap()
}

/// The copies of packages in a cache directory.
fn copies(cache: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(cache.join("packages")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).collect()
}

/// Copies that are left after a model was loaded, with `PORTEND_CACHE_DISK` as it is given.
fn check_kept(disk: &str, expected: usize) {
    let (web, folder) = (Web::start(package("fraud/model_x.mlpkg")), tempfile::tempdir().unwrap());
    let cache = folder.path().join("cache");
    let settings = [("PORTEND_CACHE_DIR", cache.to_str().unwrap()), ("PORTEND_CACHE_DISK", disk)];
    let server = RunningServer::start(web.serve(&settings));
    wait_for("the copies that are kept", || (copies(&cache).len() == expected).then_some(()));
    assert!(!server.log().contains("sesame"), "{}", server.log());
    server.stop();
}

#[test]
fn copies_of_packages_lie_in_the_cache_directory_as_far_as_they_have_room() {
    check_kept("1MiB", 1);
    check_kept("0", 0);
}

#[test]
fn a_package_that_is_replaced_is_reloaded_and_an_outage_is_survived() {
    let (web, cache) = (Web::start(package("fraud/model_x.mlpkg")), tempfile::tempdir().unwrap());
    let settings = [("PORTEND_CACHE_DIR", cache.path().to_str().unwrap())];
    let server = RunningServer::start(web.serve(&settings));
    let info = || server.get("/info").text().to_owned();
    assert!(info().contains("\"dir\""), "{}", info());
    *web.package.lock().unwrap() = None;
    assert!(info().contains("\"dir\""), "{}", info());
    wait_for("a line on the outage", || server.log().contains("models in memory serve on").then_some(()));
    *web.package.lock().unwrap() = Some(package("revenue/revenue-estimate.mlpkg"));
    wait_for("the other package", || info().contains("revenue").then_some(()));
    assert!(server.log().contains("can be looked at again"), "{}", server.log());
    server.stop();
}

#[test]
fn what_cannot_be_served_from_a_store_is_said_at_the_start() {
    let web = Web::start(package("fraud/model_x.mlpkg"));
    *web.package.lock().unwrap() = None;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let check = |settings: &[(&str, &str)], code: i32, expected: &str| {
        let mut all = vec![("PORTEND_CACHE_DIR", cache.to_str().unwrap())];
        all.extend(settings);
        let done = web.serve(&all).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && !said.contains("sesame"), "{said}");
    };
    check(&[], 1, "cannot answer now: 503");
    check(&[("PORTEND_CA_FILE", "/no/such.pem")], 64, "PORTEND_CA_FILE names /no/such.pem: ");
    check(&[("HTTP_PROXY", "::garbage::")], 64, "HTTP_PROXY names no proxy");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    check(&[("PORTEND_CACHE_DIR", file.to_str().unwrap())], 1, "PORTEND_CACHE_DIR names another directory");
}
