//! Registries that lie, break off, never end or try to learn a password, each a small server on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portend_core::Proxies;
use portend_image::{
    CopyOptions, Credentials, Descriptor, Digest, ImageError, LayoutSource, LayoutTarget, Reference,
    RegistryOptions, RegistrySource, RegistryTarget, Repository, Source, copy, inspect, media,
};
use serde_json::json;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What is written for an answer; None closes the connection.
type Handler = Box<dyn Fn(&Request, &mut TcpStream) -> Option<()> + Send + Sync>;

pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(
        handler: impl Fn(&Request, &mut TcpStream) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (handler, log): (Arc<Handler>, _) = (Arc::new(Box::new(handler)), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &handler, &log));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    fn methods(&self, method: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method).count()
    }
}

fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut out = stream;
    loop {
        let mut first = Vec::new();
        reader.read_until(b'\n', &mut first).ok()?;
        let first = String::from_utf8(first).ok()?; // a TLS hello is none
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let request = Request { method, target, headers, body };
        log.lock().unwrap().push(request.clone());
        handler(&request, &mut out)?;
    }
}

pub(crate) fn answer(out: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    out.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    out.write_all(body).ok()
}

pub(crate) fn options() -> RegistryOptions {
    let given = Some(("user".to_owned(), "s3cret".to_owned()));
    let credentials = Credentials { given, ..Credentials::default() };
    RegistryOptions { credentials, wait: Duration::from_millis(5), ..RegistryOptions::default() }
}

/// An image of one layer: manifest, configuration, layer.
fn image() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (config, layer) = (br#"{"os":"linux","architecture":"amd64"}"#.to_vec(), vec![7; 100_000]);
    let manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST,
        "config": Descriptor::of(media::CONFIG, &config), "layers": [Descriptor::of(media::LAYER, &layer)]});
    (manifest.to_string().into_bytes(), config, layer)
}

/// A registry that has that image, except for what `lie` answers instead.
fn registry(lie: impl Fn(&Request, &mut TcpStream) -> Option<Option<()>> + Send + Sync + 'static) -> Server {
    let (manifest, config, layer) = image();
    Server::start(move |request, out| {
        if let Some(lied) = lie(request, out) {
            return lied;
        }
        let bytes = match request.target.as_str() {
            "/v2/" => return answer(out, 200, &[], b"{}"),
            target if target.contains("/manifests/") => &manifest,
            target if target.ends_with(Digest::of(&config).as_str()) => &config,
            target if target.ends_with(Digest::of(&layer).as_str()) => &layer,
            _ => return answer(out, 404, &[], br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no"}]}"#),
        };
        let from =
            request.headers.get("range").map(|range| range["bytes=".len()..range.len() - 1].parse().unwrap());
        let (kind, digest) = (("Content-Type", media::MANIFEST), Digest::of(bytes));
        match from {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                answer(out, 206, &[("Content-Range", &range)], &bytes[from..])
            }
            None => answer(out, 200, &[kind, ("Docker-Content-Digest", digest.as_str())], bytes),
        }
    })
}

fn pull(server: &Server, folder: &Path) -> Result<Digest, ImageError> {
    let source = RegistrySource::new(&server.reference("team/churn:1"), &options())?;
    let target = LayoutTarget::create(folder, Some("v1"))?;
    copy(&source, &target, &CopyOptions::default()).map(|copied| copied.digest)
}

fn is_layer(request: &Request) -> bool {
    request.target.contains("/blobs/") && request.target.ends_with(Digest::of(&image().2).as_str())
}

fn check_pull(server: &Server, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let error = pull(server, folder.path()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}, not {expected}");
    assert!(!folder.path().join("index.json").exists(), "{expected}: the image got a name");
}

#[test]
fn what_is_right_is_pulled_and_a_connection_that_breaks_off_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let breaking = registry(|request, out| {
        // half of it, and then the end of the connection
        (is_layer(request) && !request.headers.contains_key("range")).then(|| {
            out.write_all(b"HTTP/1.1 200 x\r\nContent-Length: 100000\r\n\r\n").unwrap();
            out.write_all(&[7; 50_000]).unwrap();
            None
        })
    });
    for (i, server) in [registry(|_, _| None), breaking].iter().enumerate() {
        let to = folder.path().join(i.to_string());
        assert_eq!(pull(server, &to).unwrap(), Digest::of(&image().0));
        assert!(inspect(&LayoutSource::open(&to, Some("v1")).unwrap(), None).is_ok());
        let ranges: Vec<_> =
            server.requests().iter().filter_map(|r| r.headers.get("range").cloned()).collect();
        assert_eq!(ranges, vec!["bytes=50000-".to_owned(); i]);
    }
}

#[test]
fn lies_about_bytes_are_noticed() {
    let (_, _, layer) = image();
    let mut wrong = layer.clone();
    wrong[5] = 8;
    let longer = [&layer[..], b"x"].concat();
    check_pull(
        &registry(move |r, out| is_layer(r).then(|| answer(out, 200, &[], &wrong))),
        "its bytes have the digest",
    );
    check_pull(
        &registry(move |r, out| is_layer(r).then(|| answer(out, 200, &[], &longer))),
        "it is longer than the 100000 bytes",
    );
    // ends well, and too early, as often as it is asked
    check_pull(
        &registry(|r, out| is_layer(r).then(|| answer(out, 200, &[], &[7; 1000]))),
        "it ends after 1000 of 100000 bytes",
    );
    check_pull(&registry(|r, out| is_layer(r).then(|| answer(out, 404, &[], b""))), "answers 404");
    let other = Digest::of(b"other").to_string();
    check_pull(
        &registry(move |r, out| {
            let body = image().0;
            r.target
                .contains("/manifests/")
                .then(|| answer(out, 200, &[("Docker-Content-Digest", &other)], &body))
        }),
        "the registry gave a manifest with the digest",
    );
}

#[test]
fn what_never_ends_is_ended_here() {
    let endless = |out: &mut TcpStream, head: &[u8]| {
        out.write_all(head).unwrap();
        while out.write_all(&[b'1'; 65_536]).is_ok() {}
        None
    };
    let chunked = b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n";
    check_pull(
        &registry(move |r, out| is_layer(r).then(|| endless(out, chunked))),
        "it is longer than the 100000 bytes",
    );
    // a manifest of 100 MB
    let large = b"HTTP/1.1 200 x\r\nContent-Length: 104857600\r\n\r\n";
    let start = Instant::now();
    check_pull(
        &registry(move |r, out| r.target.contains("/manifests/").then(|| endless(out, large))),
        "the answer has more than 4194304 bytes",
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    // a list of tags each page of which leads to a next one
    let server = registry(|r, out| {
        r.target.contains("/tags/list").then(|| {
            let tags = json!({"name": "a", "tags": vec!["t"; 500]}).to_string();
            answer(
                out,
                200,
                &[("Link", "</v2/team/churn/tags/list?n=1000&last=t>; rel=\"next\"")],
                tags.as_bytes(),
            )
        })
    });
    let tags = Repository::new(&server.reference("team/churn:1"), &options()).unwrap().tags();
    assert!(tags.unwrap_err().to_string().contains("there are more than 100000"));
    check_pull(
        &registry(|r, out| {
            let target = format!("{}x", r.target);
            (r.target != "/v2/").then(|| answer(out, 307, &[("Location", &target)], b""))
        }),
        "leads from one address to the next without end",
    );
}

#[test]
fn a_password_is_shown_to_its_registry_and_to_nobody_else() {
    let (_, _, layer) = image();
    let elsewhere = Server::start(move |_, out| answer(out, 200, &[], &layer));
    let to = format!("http://{}/cdn/x", elsewhere.address);
    let server = registry(move |r, out| {
        if !r.headers.contains_key("authorization") {
            return Some(answer(out, 401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b""));
        }
        is_layer(r).then(|| answer(out, 307, &[("Location", &to)], b""))
    });
    let folder = tempfile::tempdir().unwrap();
    pull(&server, folder.path()).unwrap();
    let shown = elsewhere.requests();
    assert!(!shown.is_empty() && shown.iter().all(|r| !r.headers.contains_key("authorization")), "{shown:?}");
    let own = server.requests();
    let expected = "Basic dXNlcjpzM2NyZXQ=";
    assert!(own[1..].iter().all(|r| r.headers.get("authorization").is_some_and(|value| value == expected)));
    // out of this registry into another one by an upload's location
    let stolen = Server::start(|_, out| answer(out, 202, &[("Location", "/x")], b""));
    let to = format!("http://{}/upload", stolen.address);
    let taking = registry(move |r, out| match (r.method.as_str(), r.headers.contains_key("authorization")) {
        (_, false) => Some(answer(out, 401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b"")),
        ("HEAD", _) => Some(answer(out, 404, &[], b"")),
        ("POST", _) => Some(answer(out, 202, &[("Location", &to)], b"")),
        _ => None,
    });
    let source = LayoutSource::open(folder.path(), Some("v1")).unwrap();
    let target = RegistryTarget::new(&taking.reference("team/churn:1"), &options()).unwrap();
    _ = copy(&source, &target, &CopyOptions::default());
    assert!(stolen.methods("PUT") > 0);
    assert!(stolen.requests().iter().all(|r| !r.headers.contains_key("authorization")));
}

#[test]
fn a_token_is_had_for_a_scope_and_renewed_when_it_is_refused() {
    let count = Arc::new(Mutex::new(0));
    let issued = Arc::clone(&count);
    let tokens = Server::start(move |_, out| {
        let mut issued = issued.lock().unwrap();
        *issued += 1;
        answer(
            out,
            200,
            &[],
            json!({"access_token": format!("t{issued}"), "expires_in": 300}).to_string().as_bytes(),
        )
    });
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"r\"", tokens.address);
    let server = registry(move |r, out| {
        let token = r.headers.get("authorization").map(String::as_str);
        let fits =
            token == Some(if is_layer(r) { "Bearer t2" } else { "Bearer t1" }) || token == Some("Bearer t2");
        (!fits).then(|| answer(out, 401, &[("WWW-Authenticate", &realm)], b""))
    });
    let folder = tempfile::tempdir().unwrap();
    pull(&server, folder.path()).unwrap();
    let asked = tokens.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0].target, "/token?service=r&scope=repository%3Ateam%2Fchurn%3Apull");
    assert_eq!(asked[0].headers["authorization"], "Basic dXNlcjpzM2NyZXQ=");
    // an identity token is exchanged by POST
    fs::write(
        folder.path().join("config.json"),
        json!({"auths": {server.address.to_string(): {"identitytoken": "a b&c"}}}).to_string(),
    )
    .unwrap();
    let files = vec![folder.path().join("config.json")];
    let options =
        RegistryOptions { credentials: Credentials { files, ..Credentials::default() }, ..options() };
    _ = RegistrySource::new(&server.reference("team/churn:1"), &options).unwrap().root();
    let last = tokens.requests()[2].clone();
    let form = "service=r&scope=repository%3Ateam%2Fchurn%3Apull&grant_type=refresh_token&refresh_token=a%20b%26c&client_id=portend";
    assert_eq!((last.method.as_str(), String::from_utf8(last.body).unwrap().as_str()), ("POST", form));
}

#[test]
fn trouble_is_never_taken_for_absence() {
    let exists =
        |server: &Server| Repository::new(&server.reference("team/churn:1"), &options()).unwrap().exists();
    assert_eq!(exists(&registry(|_, _| None)).unwrap(), Some(Digest::of(&image().0)));
    let status = |status: u16| {
        registry(move |r, out| r.target.contains("/manifests/").then(|| answer(out, status, &[], b"")))
    };
    assert_eq!(exists(&status(404)).unwrap(), None);
    assert_eq!(status(404).methods("HEAD"), 0);
    let one = registry(|_, _| None);
    exists(&one).unwrap();
    assert_eq!(one.methods("HEAD"), 1, "one request tells it");
    assert_eq!(one.requests().len(), 2, "beside the one that asks how the registry is spoken to");
    for (code, expected) in
        [(401, "log in"), (403, "do not permit"), (500, "answers 500"), (418, "answers 418")]
    {
        let error = exists(&status(code)).unwrap_err();
        assert!(!matches!(error, ImageError::Absent(_)), "{code}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let down = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let reference = Reference::parse(&format!("{down}/a:1")).unwrap();
    let error = Repository::new(&reference, &options()).unwrap().exists().unwrap_err();
    assert!(matches!(error, ImageError::Unreachable(_)), "{error}");
}

#[test]
fn what_may_pass_is_tried_again_and_no_more_than_three_times() {
    let failing = |times: usize| {
        let left = Mutex::new(times);
        registry(move |r, out| {
            let mut left = left.lock().unwrap();
            (r.target.contains("/manifests/") && *left > 0).then(|| {
                *left -= 1;
                answer(out, 503, &[("Retry-After", "0")], b"")
            })
        })
    };
    let folder = tempfile::tempdir().unwrap();
    assert!(pull(&failing(2), folder.path()).is_ok());
    let server = failing(100);
    assert!(pull(&server, folder.path()).unwrap_err().to_string().contains("answers 503"));
    assert_eq!(server.requests().len(), 4);
    // nobody waits for a day without a word
    let server = registry(|r, out| {
        r.target.contains("/manifests/").then(|| answer(out, 429, &[("Retry-After", "100000")], b""))
    });
    let error = pull(&server, folder.path()).unwrap_err().to_string();
    assert!(error.contains("answers 429; it asks to be asked again in 100000 s"), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_proxy_is_asked_for_what_is_elsewhere_and_for_nothing_here() {
    let proxy = Server::start(|_, out| answer(out, 502, &[], b""));
    let named =
        |name: &str| (name == "HTTPS_PROXY" || name == "HTTP_PROXY").then(|| proxy.address.to_string());
    let options = RegistryOptions { proxies: Proxies::from_environment(named).unwrap(), ..options() };
    let exists = |reference: &Reference| Repository::new(reference, &options).unwrap().exists();
    let here = registry(|_, _| None).reference("team/churn:1");
    assert_eq!(exists(&here).unwrap(), Some(Digest::of(&image().0)));
    assert!(proxy.requests().is_empty());
    let error = exists(&Reference::parse("reg.example:5000/a:1").unwrap()).unwrap_err().to_string();
    assert!(error.contains("cannot ask https://reg.example:5000 through the environment's proxy"), "{error}");
    let asked = proxy.requests();
    assert!(asked.iter().all(|r| r.method == "CONNECT" && r.target == "reg.example:5000"), "{asked:?}");
    assert_eq!(asked.len(), 3);
}

/// A layout with an image of one layer, and that layer with the manifest's digest.
fn large_image(folder: &Path) -> (Vec<u8>, String) {
    // 40 MiB: two chunks of 16 and one of 8
    let layer: Vec<u8> = (0..40 << 20).map(|i: u32| (i >> 8) as u8).collect();
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let config = br#"{"os":"linux","architecture":"amd64"}"#;
    let manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST,
        "config": Descriptor::of(media::CONFIG, config), "layers": [Descriptor::of(media::LAYER, &layer)]});
    let manifest = manifest.to_string();
    for bytes in [&layer[..], config, manifest.as_bytes()] {
        fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    }
    let entry = Descriptor::of(media::MANIFEST, manifest.as_bytes());
    fs::write(folder.join("oci-layout"), "{}").unwrap();
    fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    (layer, Digest::of(manifest.as_bytes()).to_string())
}

#[test]
fn a_chunk_that_breaks_off_is_gone_on_with_where_the_registry_says() {
    let folder = tempfile::tempdir().unwrap();
    let (layer, digest) = large_image(folder.path());
    let got = Arc::new(Mutex::new((Vec::<u8>::new(), 0)));
    let upload = Arc::clone(&got);
    let server = Server::start(move |r, out| {
        let mut upload = upload.lock().unwrap();
        let place = |upload: &(Vec<u8>, i32)| format!("/v2/a/blobs/uploads/x?state={}", upload.0.len());
        let range = |upload: &(Vec<u8>, i32)| format!("0-{}", upload.0.len().saturating_sub(1));
        match (r.method.as_str(), r.target.contains("/manifests/")) {
            ("HEAD", true) => answer(out, 200, &[("Docker-Content-Digest", &digest)], b""),
            ("HEAD", false) => answer(out, 404, &[], b""),
            ("POST", _) => answer(out, 202, &[("Location", "/v2/a/blobs/uploads/x?state=0")], b""),
            ("PATCH", _) => {
                upload.1 += 1;
                let half = if upload.1 == 2 { r.body.len() / 2 } else { r.body.len() };
                upload.0.extend(&r.body[..half]);
                if upload.1 == 2 {
                    return None; // half of the second chunk, and the connection is gone
                }
                answer(out, 202, &[("Location", &place(&upload)), ("Range", &range(&upload))], b"")
            }
            ("GET", _) if r.target.contains("uploads") => {
                answer(out, 204, &[("Location", &place(&upload)), ("Range", &range(&upload))], b"")
            }
            ("GET", _) => answer(out, 200, &[], b"{}"),
            _ => answer(out, 201, &[], b""),
        }
    });
    let source = LayoutSource::open(folder.path(), None).unwrap();
    let target = RegistryTarget::new(&server.reference("a:1"), &options()).unwrap();
    copy(&source, &target, &CopyOptions::default()).unwrap();
    assert!(got.lock().unwrap().0 == layer, "what arrived is another layer");
    let chunks: Vec<_> =
        server.requests().iter().filter_map(|r| r.headers.get("content-range").cloned()).collect();
    let mib = |n: u64| n << 20;
    let expected = [(0, mib(16)), (mib(16), mib(32)), (mib(24), mib(32)), (mib(32), mib(40))];
    assert_eq!(chunks, expected.map(|(from, to)| format!("{from}-{}", to - 1)));
    let put =
        server.requests().into_iter().find(|r| r.method == "PUT" && r.target.contains("uploads/x")).unwrap();
    assert!(put.target.contains("&digest=sha256:"), "{}", put.target);
}

#[test]
fn an_upload_that_the_registry_forgot_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let (layer, digest) = large_image(folder.path());
    let uploads = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    let kept = Arc::clone(&uploads);
    let server = Server::start(move |r, out| {
        let mut uploads = kept.lock().unwrap();
        let place = [("Location", "/v2/a/blobs/uploads/x")];
        match (r.method.as_str(), r.target.contains("/manifests/")) {
            ("HEAD", true) => answer(out, 200, &[("Docker-Content-Digest", &digest)], b""),
            ("HEAD", false) => answer(out, 404, &[], b""),
            ("POST", _) => {
                uploads.push(Vec::new());
                answer(out, 202, &place, b"")
            }
            ("PATCH", _) => {
                let count = uploads.len();
                let upload = uploads.last_mut().unwrap();
                // restarted after the first chunk of the first try
                if count < 3 && !upload.is_empty() {
                    return answer(
                        out,
                        404,
                        &[],
                        br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"x"}]}"#,
                    );
                }
                upload.extend(&r.body);
                answer(out, 202, &place, b"")
            }
            ("GET", _) => answer(out, 200, &[], b"{}"),
            _ => answer(out, 201, &[], b""),
        }
    });
    let source = LayoutSource::open(folder.path(), None).unwrap();
    let target = RegistryTarget::new(&server.reference("a:1"), &options()).unwrap();
    copy(&source, &target, &CopyOptions::default()).unwrap();
    let uploads = uploads.lock().unwrap();
    assert!(uploads.contains(&layer));
    assert!(uploads.len() <= 4, "{} uploads", uploads.len());
}
