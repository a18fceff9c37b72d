//! HTTPS as operators set it and clients meet it: keys and certificates are made by the real `openssl`, and its
//! client and curl talk to the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::running_server::{RunningServer, portend, wait_for};
use crate::{is_here, repository};

/// The passphrase of all encrypted keys, and what must be seen nowhere.
const PASSPHRASE: &str = "correct horse battery";

/// A folder with `rsa.pem`, `p256.pem`, `p384.pem` and `ed25519.pem` (PKCS#8), a certificate of each
/// (`rsa.crt`, …), all signed by `ca.crt`. None where openssl or curl is missing.
fn authority() -> Option<Folder> {
    if !is_here("openssl", "the tests of HTTPS") || !is_here("curl", "the tests of HTTPS") {
        return None;
    }
    let folder = Folder(tempfile::tempdir().unwrap());
    let key_usage = "-addext keyUsage=critical,keyCertSign";
    folder.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.pem");
    folder.openssl(&format!("req -x509 -key ca.pem -days 30 -subj /CN=CA {key_usage} -out ca.crt"));
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    fs::write(folder.path("names"), names).unwrap();
    for (name, algorithm) in [
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("ed25519", "ED25519"),
    ] {
        folder.openssl(&format!("genpkey -algorithm {algorithm} -out {name}.pem"));
        folder.certify(name, 30);
    }
    Some(folder)
}

struct Folder(TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs openssl with words that have no spaces in them; gives both its outputs.
    fn try_openssl(&self, words: &str) -> (bool, String) {
        let mut openssl = Command::new("openssl");
        let words = words.split(' ').map(|word| word.replace("PASSPHRASE", PASSPHRASE));
        let done = openssl.args(words).current_dir(&self.0).stdin(Stdio::null()).output().unwrap();
        (done.status.success(), both(&done))
    }

    fn openssl(&self, words: &str) {
        let (succeeded, printed) = self.try_openssl(words);
        assert!(succeeded, "openssl {words}: {printed}");
    }

    /// Signs `NAME.crt` for `NAME.pem`.
    fn certify(&self, name: &str, days: i32) {
        self.openssl(&format!("req -new -key {name}.pem -subj /CN=localhost -out {name}.csr"));
        let by = "-CA ca.crt -CAkey ca.pem -CAcreateserial -extfile names";
        self.openssl(&format!("x509 -req -in {name}.csr {by} -days {days} -out {name}.crt"));
    }

    /// `portend serve` with HTTPS, these settings, and the rest of them unset.
    fn command(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = portend();
        command.args(["serve", "--port", "0"]).arg(repository("examples/demo/fraud")).current_dir(&self.0);
        command.env("PREDICTION_API_TLS_ENABLED", "true");
        for (name, value) in settings {
            command.env(format!("PREDICTION_API_TLS_{name}"), value);
        }
        command
    }

    fn serve(&self, settings: &[(&str, &str)]) -> RunningServer {
        let server = RunningServer::listening("https", self.command(settings));
        wait_for("the model", || (self.curl(&server, "/ready", &["--fail"]).0).then_some(()));
        server
    }

    /// A server of `NAME.pem` with settings beside.
    fn serve_with(&self, name: &str, settings: &[(&str, &str)]) -> RunningServer {
        let (certificate, key) = (self.text(&format!("{name}.crt")), self.text(&format!("{name}.pem")));
        let both = [("CERTIFICATE", certificate.as_str()), ("CERTIFICATE_KEY", &key)];
        self.serve(&[&both, settings].concat())
    }

    fn curl(&self, server: &RunningServer, target: &str, options: &[&str]) -> (bool, String) {
        let mut curl = Command::new("curl");
        curl.args([
            "-q",
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--noproxy",
            "*",
            "--cacert",
            "ca.crt",
        ]);
        curl.args(options).arg(format!("https://{}{target}", server.address)).current_dir(&self.0);
        let done = curl.output().unwrap();
        (done.status.success(), both(&done))
    }

    /// What `openssl s_client` says of a handshake.
    fn handshake(&self, server: &RunningServer, options: &str) -> (bool, String) {
        let address = server.address;
        self.try_openssl(&format!(
            "s_client -connect {address} -CAfile ca.crt -verify_return_error {options}"
        ))
    }
}

fn both(done: &Output) -> String {
    [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Lines of a log that are no answers to the question whether the model is there.
fn besides_readiness(log: &str) -> usize {
    log.lines().filter(|line| !line.contains(" GET /ready ") && !line.contains(" loaded from ")).count()
}

#[test]
fn keys_of_every_form_serve_predictions() {
    let Some(folder) = authority() else { return };
    for (certificate, make) in [
        ("rsa", ""),
        ("rsa", "rsa -traditional"),
        ("rsa", "rsa -traditional -aes128 -passout pass:PASSPHRASE"),
        ("rsa", "rsa -traditional -aes192 -passout pass:PASSPHRASE"),
        ("rsa", "rsa -traditional -aes256 -passout pass:PASSPHRASE"),
        ("rsa", "rsa -traditional -des3 -passout pass:PASSPHRASE"),
        ("rsa", "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:PASSPHRASE"),
        ("rsa", "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout pass:PASSPHRASE"),
        ("rsa", "pkcs8 -topk8 -v2 des3 -passout pass:PASSPHRASE"),
        ("rsa", "pkcs8 -topk8 -scrypt -scrypt_N 1024 -passout pass:PASSPHRASE"),
        ("p256", ""),
        ("p256", "ec"),
        ("p256", "ec -aes256 -passout pass:PASSPHRASE"),
        ("p384", "ec"),
        ("p384", "pkcs8 -topk8 -v2 aes-192-cbc -passout pass:PASSPHRASE"),
        ("ed25519", ""),
        ("ed25519", "pkcs8 -topk8 -passout pass:PASSPHRASE"),
    ] {
        println!("{certificate} {make}");
        let file = match make {
            "" => format!("{certificate}.pem"),
            _ => {
                folder.openssl(&format!("{make} -in {certificate}.pem -out made.pem"));
                "made.pem".to_owned()
            }
        };
        let (chain, key) = (folder.text(&format!("{certificate}.crt")), folder.text(&file));
        let mut settings = vec![("CERTIFICATE", chain.as_str()), ("CERTIFICATE_KEY", &key)];
        if make.contains("PASSPHRASE") {
            settings.push(("CERTIFICATE_KEY_PASSWORD", PASSPHRASE));
        }
        let server = folder.serve(&settings);
        let rows = format!("@{}", repository("examples/demo/fraud-scoring.csv").display());
        let post = ["--fail", "--header", "Content-Type: text/csv", "--data-binary", &rows];
        let (succeeded, answer) = folder.curl(&server, "/predictions", &post);
        assert!(succeeded && answer.starts_with("{\"data\":[{"), "{answer}");
        let log = server.stop();
        assert!(!log.contains("warning"), "{log}");
    }
}

#[test]
fn settings_may_name_files_and_have_line_breaks_of_any_kind() {
    let Some(folder) = authority() else { return };
    folder.openssl("ec -aes256 -passout pass:PASSPHRASE -in p256.pem -out old.pem");
    let chain = folder.text("p256.crt") + &folder.text("ca.crt");
    let path = folder.path("p256.crt");
    let with = |line_break: &str| {
        [&chain, &folder.text("old.pem")].map(|text| text.trim().replace('\n', line_break))
    };
    let (spelt_out, windows) = (with("\\n"), with("\r\n"));
    for (certificate, key) in
        [(path.to_str().unwrap(), "old.pem"), (&spelt_out[0], &spelt_out[1]), (&windows[0], &windows[1])]
    {
        let both = [("CERTIFICATE", certificate), ("CERTIFICATE_KEY", key)];
        folder.serve(&[&both[..], &[("CERTIFICATE_KEY_PASSWORD", PASSPHRASE)]].concat()).stop();
    }
}

#[test]
fn versions_and_suites_are_those_that_the_settings_list() {
    let Some(folder) = authority() else { return };
    let any13 = "TLS_AES_128_GCM_SHA256";
    let weaker_first = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
    // certificate, protocols, ciphers, the client's options, version and suite or None for a refused handshake
    for (certificate, protocols, ciphers, client, expected) in [
        ("rsa", "", "", "-tls1_2", Some(("TLSv1.2", ""))),
        ("rsa", "", "", "-tls1_3", Some(("TLSv1.3", ""))),
        ("rsa", "", "", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", None),
        ("rsa", "", "", "-tls1 -cipher DEFAULT@SECLEVEL=0", None),
        ("rsa", "", "", "-tls1_2 -cipher AES128-SHA", None),
        ("rsa", "TLSv1.2 TLSv1.3", "", "", Some(("TLSv1.3", ""))),
        ("rsa", "TLSv1.3", "", "", Some(("TLSv1.3", ""))),
        ("rsa", "TLSv1.3", "", "-tls1_2", None),
        ("rsa", "TLSv1.2", "", "", Some(("TLSv1.2", ""))),
        ("rsa", "TLSv1.2", "", "-tls1_3", None),
        // a list made for OpenSSL, which means no suite of TLS 1.3
        ("rsa", "", "ECDHE-RSA-AES128-GCM-SHA256", "", Some(("TLSv1.3", ""))),
        (
            "rsa",
            "",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "-tls1_2",
            Some(("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")),
        ),
        ("rsa", "TLSv1.2", weaker_first, "", Some(("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"))),
        (
            "rsa",
            "TLSv1.2",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "",
            Some(("TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305")),
        ),
        ("rsa", "TLSv1.2", weaker_first, "-cipher ECDHE-RSA-CHACHA20-POLY1305", None),
        ("rsa", "TLSv1.3", any13, "", Some(("TLSv1.3", any13))),
        ("rsa", "TLSv1.3", any13, "-ciphersuites TLS_AES_256_GCM_SHA384", None),
        ("p256", "", "", "-tls1_2", Some(("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"))),
        (
            "p256",
            "",
            "TLS_CHACHA20_POLY1305_SHA256 ECDHE-ECDSA-AES128-GCM-SHA256",
            "",
            Some(("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256")),
        ),
        ("ed25519", "TLSv1.2", "", "", Some(("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"))),
    ] {
        let server = folder.serve_with(certificate, &[("PROTOCOLS", protocols), ("CIPHERS", ciphers)]);
        let options = format!("-brief {client}");
        let (succeeded, printed) = folder.handshake(&server, options.trim_end());
        let case = format!("{protocols:?} {ciphers:?} {client:?}: {printed}");
        match expected {
            Some((version, suite)) => {
                assert!(succeeded && printed.contains("Verification: OK"), "{case}");
                assert!(printed.contains(&format!("Protocol version: {version}\n")), "{case}");
                assert!(printed.contains(&format!("Ciphersuite: {suite}")), "{case}");
            }
            None => assert!(!succeeded && printed.contains("alert"), "{case}"),
        }
        let log = server.stop();
        assert_eq!(besides_readiness(&log), 1, "{case}: {log}"); // the address, and no line for the handshake
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_the_remedy_and_no_secret() {
    let Some(folder) = authority() else { return };
    folder.openssl("pkcs8 -topk8 -v2 aes-256-cbc -passout pass:PASSPHRASE -in rsa.pem -out new.pem");
    folder.openssl("rsa -traditional -aes256 -passout pass:PASSPHRASE -in rsa.pem -out old.pem");
    folder.openssl("pkcs8 -topk8 -v1 PBE-SHA1-3DES -passout pass:PASSPHRASE -in rsa.pem -out pbes1.pem");
    folder.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.pem");
    folder.certify("p521", 30);
    let key = folder.text("rsa.pem");
    let bare: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let cut = key.replace("-----END PRIVATE KEY-----\n", "");
    let odd = key.replacen("\nM", "\n!", 1);
    let damaged = folder.text("rsa.crt").replacen("MII", "AAAA", 1);
    for (name, value) in [("bare", &bare), ("cut", &cut), ("odd", &odd), ("damaged", &damaged)] {
        fs::write(folder.path(name), value).unwrap();
    }
    let wrong = ("CERTIFICATE_KEY_PASSWORD", "battery horse");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("CERTIFICATE", "")], "CERTIFICATE is empty: give the PEM text"),
        (&[("CERTIFICATE_KEY", "")], "CERTIFICATE_KEY is empty: give the PEM text"),
        (
            &[("CERTIFICATE", "no/such.crt")],
            "CERTIFICATE has no -----BEGIN line, so it is taken for the path",
        ),
        (
            &[("CERTIFICATE_KEY", &bare)],
            "CERTIFICATE_KEY has no -----BEGIN line, so it is taken for the path",
        ),
        (&[("CERTIFICATE_KEY", "bare")], "CERTIFICATE_KEY holds no PRIVATE KEY block"),
        (&[("CERTIFICATE_KEY", &cut)], "CERTIFICATE_KEY is not valid PEM"),
        (&[("CERTIFICATE_KEY", &odd)], "CERTIFICATE_KEY is not valid PEM"),
        (&[("CERTIFICATE", "damaged")], "CERTIFICATE is not valid PEM"),
        (&[("CERTIFICATE", "rsa.pem")], "CERTIFICATE holds no CERTIFICATE block: found PRIVATE KEY"),
        (
            &[("CERTIFICATE_KEY", "rsa.crt")],
            "CERTIFICATE_KEY holds no PRIVATE KEY block (PKCS#8, RSA or EC): found C",
        ),
        (
            &[("CERTIFICATE_KEY", "new.pem")],
            "CERTIFICATE_KEY is encrypted: set PREDICTION_API_TLS_CERTIFICATE_KEY_PA",
        ),
        (
            &[("CERTIFICATE_KEY", "old.pem")],
            "CERTIFICATE_KEY is encrypted: set PREDICTION_API_TLS_CERTIFICATE_KEY_PA",
        ),
        (
            &[("CERTIFICATE_KEY", "new.pem"), wrong],
            "CERTIFICATE_KEY_PASSWORD does not open PREDICTION_API_TLS_CERTIF",
        ),
        (
            &[("CERTIFICATE_KEY", "old.pem"), wrong],
            "CERTIFICATE_KEY_PASSWORD does not open PREDICTION_API_TLS_CERTIF",
        ),
        (
            &[("CERTIFICATE_KEY", "pbes1.pem"), wrong],
            "CERTIFICATE_KEY is encrypted in a way that is not read",
        ),
        (
            &[("CERTIFICATE_KEY", "p256.pem")],
            "CERTIFICATE_KEY does not match PREDICTION_API_TLS_CERTIFICATE: give",
        ),
        (
            &[("CERTIFICATE", "p521.crt"), ("CERTIFICATE_KEY", "p521.pem")],
            "CERTIFICATE_KEY cannot be used: RSA of 2048",
        ),
        (&[("PROTOCOLS", "TLSv1 TLSv1.1 TLSv1.2")], "PROTOCOLS asks for TLSv1, which is broken and refused"),
        (&[("PROTOCOLS", "TLSv1.2 SSLv3")], "PROTOCOLS asks for SSLv3, which is broken and refused"),
        (
            &[("PROTOCOLS", "TLSv2")],
            "PROTOCOLS has 'TLSv2', which is no protocol version: give TLSv1.2, TLSv1.3",
        ),
        (
            &[("CIPHERS", "HIGH:!aNULL")],
            "CIPHERS leaves no cipher suite for TLSv1.2 with this key: add one of ECDHE-R",
        ),
        (
            &[("CIPHERS", "TLS_AES_128_GCM_SHA256")],
            "CIPHERS leaves no cipher suite for TLSv1.2 with this key",
        ),
        (
            &[("CIPHERS", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("PROTOCOLS", "TLSv1.2")],
            "CIPHERS leaves no cipher suite for TLSv1.2 with this key: add one of ECDHE-RSA-AES256-GCM-SHA384, ECDHE-",
        ),
    ];
    for (settings, expected) in cases {
        let good = [("CERTIFICATE", "rsa.crt"), ("CERTIFICATE_KEY", "rsa.pem")];
        let done = folder.command(&[&good, *settings].concat()).output().unwrap();
        let printed = both(&done);
        let expected = format!("portend: PREDICTION_API_TLS_{expected}");
        assert!(printed.starts_with(&expected), "{expected}\nis not what was printed:\n{printed}");
        assert_eq!((done.status.code(), printed.lines().count()), (Some(64), 1), "{printed}");
        for secret in [PASSPHRASE, wrong.1, &bare[..40], &bare[bare.len() - 40..]] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}

#[test]
fn what_works_and_should_be_known_is_a_warning() {
    let Some(folder) = authority() else { return };
    fs::copy(folder.path("rsa.pem"), folder.path("old.pem")).unwrap();
    folder.certify("old", -1);
    let ciphers = "HIGH:!aNULL:TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA:@STRENGTH";
    for (name, settings, expected) in [
        ("old", [("PROTOCOLS", "")], "_CERTIFICATE: the certificate expired at 20"),
        ("rsa", [("CIPHERS", ciphers)], "_CIPHERS: skipped HIGH !aNULL AES128-SHA @STRENGTH: only names"),
        ("rsa", [("CERTIFICATE_KEY_PASSWORD", PASSPHRASE)], "_CERTIFICATE_KEY_PASSWORD is not used"),
    ] {
        let (certificate, key) = (folder.text(&format!("{name}.crt")), folder.text("rsa.pem"));
        let both = [("CERTIFICATE", certificate.as_str()), ("CERTIFICATE_KEY", &key)];
        let server = RunningServer::listening("https", folder.command(&[&both, &settings[..]].concat()));
        let log = server.stop();
        let warnings: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
        let expected = format!("PREDICTION_API_TLS{expected}");
        assert!(matches!(&warnings[..], [one] if one.starts_with(&expected)), "{expected}: {log}");
        assert!(!log.contains(PASSPHRASE), "{log}");
    }
}

#[test]
fn a_client_that_speaks_the_other_protocol_is_told_and_nothing_is_logged() {
    let Some(folder) = authority() else { return };
    let https = folder.serve_with("p256", &[]);
    for _ in 0..20 {
        let answer =
            https.connect().ask("POST", "/predictions", &["Content-Type: text/csv"], &[b'1'; 100_000]);
        let told = "{\"message\":\"this port speaks HTTPS: ask with https:// instead of http://\"}";
        assert_eq!((answer.status, answer.text()), (400, told));
        assert!(answer.is_last());
    }
    let log = https.stop();
    assert_eq!(besides_readiness(&log), 1, "{log}");

    let http = RunningServer::serve(&repository("examples/demo/fraud"));
    for _ in 0..20 {
        let (succeeded, printed) = folder.handshake(&http, "-brief");
        assert!(!succeeded && printed.contains("alert handshake failure"), "{printed}");
    }
    let log = http.stop();
    assert_eq!(besides_readiness(&log), 1, "{log}");
}

/// The serial number of the certificate that a new connection is shown.
fn serial(folder: &Folder, server: &RunningServer) -> String {
    let (_, printed) = folder.handshake(server, "-showcerts");
    let begin = printed.find("-----BEGIN").unwrap_or_else(|| panic!("{printed}"));
    fs::write(folder.path("shown.crt"), &printed[begin..]).unwrap();
    folder.try_openssl("x509 -noout -serial -in shown.crt").1
}

#[test]
fn files_that_are_renewed_are_taken_when_they_are_good_and_open_connections_stay() {
    let Some(folder) = authority() else { return };
    let take = |certificate: &str, key: &str| {
        // both in one step, as Kubernetes does it: a link to another directory
        let made = tempfile::tempdir_in(&folder.0).unwrap().keep();
        fs::copy(folder.path(certificate), made.join("crt")).unwrap();
        fs::copy(folder.path(key), made.join("pem")).unwrap();
        symlink(made, folder.path("new")).unwrap();
        fs::rename(folder.path("new"), folder.path("live")).unwrap();
    };
    take("rsa.crt", "rsa.pem");
    let server = folder.serve(&[("CERTIFICATE", "live/crt"), ("CERTIFICATE_KEY", "live/pem")]);
    let first = serial(&folder, &server);
    let of = |name: &str| folder.try_openssl(&format!("x509 -noout -serial -in {name}")).1;
    assert_eq!(first, of("rsa.crt"));
    let mut open = Command::new("openssl");
    open.args(["s_client", "-quiet", "-verify_quiet", "-CAfile", "ca.crt", "-connect"]);
    open.arg(server.address.to_string()).current_dir(&folder.0);
    let mut open = open.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ask = open.stdin.take().unwrap();
    let mut answers = BufReader::new(open.stdout.take().unwrap());
    let mut ping = || {
        ask.write_all(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            assert!(answers.read_line(&mut answer).unwrap() > 0, "{answer}");
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answers.read_exact(&mut [0; "{\"response\":\"pong\"}".len()]).unwrap();
    };
    ping();
    // a certificate of another kind of key, with it
    take("p256.crt", "p256.pem");
    wait_for("the new certificate", || (serial(&folder, &server) == of("p256.crt")).then_some(()));
    ping();
    // what cannot be used changes nothing and is told once
    take("rsa.crt", "p256.pem");
    let warning = "cannot be used, the certificate that was read before stays: \
                   PREDICTION_API_TLS_CERTIFICATE_KEY does not match";
    wait_for("the warning", || server.log().contains(warning).then_some(()));
    assert_eq!(serial(&folder, &server), of("p256.crt"));
    take("rsa.crt", "rsa.pem");
    wait_for("the first certificate", || (serial(&folder, &server) == first).then_some(()));
    ping();
    open.kill().unwrap();
    open.wait().unwrap();
    let log = server.stop();
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert_eq!(log.matches("new connections get the new certificate").count(), 2, "{log}");
}

#[test]
fn sessions_are_resumed() {
    let Some(folder) = authority() else { return };
    let server = folder.serve_with("p256", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        _ = fs::remove_file(folder.path("session"));
        // the answer comes after the ticket, and ends the connection
        let request = "printf 'GET /ping HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n'";
        let client =
            format!("openssl s_client -connect {} -CAfile ca.crt -ign_eof {version}", server.address);
        let run = |option: &str| {
            let script = format!("{request} | {client} {option} session 2>&1");
            both(&Command::new("sh").args(["-c", &script]).current_dir(&folder.0).output().unwrap())
        };
        let first = run("-sess_out");
        assert!(first.contains("New, TLSv1") && first.contains("{\"response\":\"pong\"}"), "{first}");
        let second = run("-sess_in");
        assert!(second.contains("Reused, TLSv1"), "{version}: {second}");
    }
    server.stop();
}

#[test]
fn alpn_chooses_http_2_where_it_can_and_refuses_what_is_not_spoken() {
    let Some(folder) = authority() else { return };
    let server = folder.serve_with("p256", &[]);
    for (offered, expected) in [
        ("h2,http/1.1", "ALPN protocol: h2"),
        ("http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.0", "ALPN protocol: http/1.0"),
        ("h3", "alert"),
    ] {
        let (_, printed) = folder.handshake(&server, &format!("-alpn {offered}"));
        assert!(printed.contains(expected), "{offered}: {printed}");
    }
    server.stop();
}

#[test]
fn connections_without_a_request_do_not_delay_the_end() {
    let Some(folder) = authority() else { return };
    let server = folder.serve_with("p256", &[]);
    let silent: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let mut begun = server.connect();
    begun.send_bytes(&[0x16, 3, 1, 2, 0, 1]);
    let (succeeded, _) = folder.curl(&server, "/ping", &["--fail"]);
    assert!(succeeded);
    let start = Instant::now();
    server.stop();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "the end took {took:?}");
    drop((silent, begun));
}
