//! Tests of the configuration as a whole: precedence, defaults, what belongs together, secrets, notices.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::Reach;
use super::*;

/// Sources of a few texts: `--flag`, `NAME`, `file:NAME` and `toml:name` say where each stands.
fn sources(texts: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::default();
    let (mut file, mut toml) = (BTreeMap::new(), BTreeMap::new());
    for (place, text) in texts {
        let one = Given::One((*text).to_owned());
        if let Some(name) = place.strip_prefix("--") {
            sources.flags.insert(name.to_owned(), one);
        } else if let Some(name) = place.strip_prefix("file:") {
            file.insert(name.to_owned(), (*text).to_owned());
        } else if let Some(name) = place.strip_prefix("toml:") {
            toml.insert(name.to_owned(), one);
        } else {
            sources.environment.insert((*place).to_owned(), (*text).to_owned());
        }
    }
    sources.environment_file = Some(("/opt/ml/config".to_owned(), file));
    sources.portend_file = Some(("portend.toml".to_owned(), toml));
    sources
}

fn resolved(texts: &[(&str, &str)]) -> Result<Effective, String> {
    resolve(&sources(texts), |path| match path {
        "good" => Ok("sesame\r\n".to_owned()),
        "bad" => Ok("open sesame\n".to_owned()),
        _ => Err("it is not there".to_owned()),
    })
}

fn entry<'a>(effective: &'a Effective, name: &str) -> &'a Entry {
    effective.entries.iter().find(|entry| entry.setting.name == name).unwrap()
}

fn is_good(texts: &[(&str, &str)]) -> Effective {
    resolved(texts).unwrap_or_else(|error| panic!("{texts:?}: {error}"))
}

fn is_refused(texts: &[(&str, &str)], expected: &str) {
    let found = resolved(texts).map(|effective| table(&effective));
    assert_eq!(found.unwrap_err(), expected, "{texts:?}");
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_server() {
    let expected = Config::new("/opt/ml/model".into());
    let effective = is_good(&[]);
    assert_eq!(format!("{:#?}", effective.config), format!("{expected:#?}"));
    assert_eq!(effective.notices, [""; 0]);
}

#[test]
fn every_default_and_every_example_of_the_table_can_be_used() {
    for setting in settings() {
        let texts = match setting.default {
            Unset::Is(text) => vec![text, setting.example],
            _ => vec![setting.example],
        };
        for text in texts.into_iter().filter(|text| *text != "…") {
            let applied = setting.kind.apply(&Given::One(text.to_owned()), &mut Draft::new());
            assert!(applied.is_ok(), "{}: {text:?}: {applied:?}", setting.name);
        }
    }
}

#[test]
fn names_in_the_table_follow_from_one_another_and_none_stands_twice() {
    let mut seen = BTreeSet::new();
    for setting in settings() {
        assert!(seen.insert(setting.name), "{}", setting.name);
        assert!(!setting.variables.is_empty(), "{}", setting.name);
        for variable in setting.variables {
            assert!(seen.insert(variable), "{variable}");
            // several keys in a variable, one in a flag
            if let Some(ours) = variable.strip_prefix("PORTEND_").filter(|_| setting.name != "public-key") {
                assert_eq!(ours.to_lowercase().replace('_', "-"), setting.name);
            }
        }
        assert!(!setting.sentence.ends_with('.'), "{}", setting.sentence);
        assert!(!setting.secret || setting.reach != Reach::Positional);
    }
}

#[test]
fn the_first_of_five_sources_wins() {
    let all = [
        ("--workers", "5"),
        ("PREDICTION_API_WORKERS", "4"),
        ("file:PREDICTION_API_WORKERS", "3"),
        ("toml:workers", "2"),
    ];
    let origins = ["--workers", "PREDICTION_API_WORKERS", "PREDICTION_API_WORKERS in /opt/ml/config", {
        "workers in portend.toml"
    }];
    for (first, origin) in origins.iter().enumerate() {
        let effective = is_good(&all[first..]);
        assert_eq!(effective.config.workers, 5 - first);
        assert_eq!(entry(&effective, "workers").origin.to_string(), *origin);
    }
    assert_eq!(entry(&is_good(&[]), "workers").origin, Origin::Default);
    // what is empty is not set, and what does not win is not looked at
    let empty = [("PREDICTION_API_WORKERS", " "), ("file:PREDICTION_API_WORKERS", ""), ("toml:workers", "2")];
    assert_eq!(is_good(&empty).config.workers, 2);
    assert_eq!(is_good(&[("--workers", "5"), ("PREDICTION_API_WORKERS", "x")]).config.workers, 5);
}

#[test]
fn some_defaults_follow_from_what_is_set() {
    let tls = [
        ("PREDICTION_API_TLS_ENABLED", "Yes"),
        ("PREDICTION_API_TLS_CERTIFICATE", "cert.pem"),
        ("PREDICTION_API_TLS_CERTIFICATE_KEY", "key.pem"),
    ];
    assert_eq!(is_good(&tls).config.port, 8443);
    assert_eq!(is_good(&[&tls[..], &[("PORTEND_PORT", "1")]].concat()).config.port, 1);
    assert_eq!(is_good(&tls[1..]).config.port, 8080);
    assert!(is_good(&tls[1..]).config.tls.is_none(), "one variable turns all of it on");
    let found = is_good(&tls).config.tls.unwrap();
    assert_eq!(
        (&*found.certificate, &*found.key.0, &*found.protocols),
        ("cert.pem", "key.pem", "TLSv1.2 TLSv1.3")
    );

    let count = ("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", "4");
    let cache = |texts: &[(&str, &str)]| is_good(texts).config.cache;
    assert_eq!((cache(&[]).models, cache(&[]).bytes), (None, 4 << 30));
    assert_eq!((cache(&[count]).models, cache(&[count]).bytes), (Some(4), u64::MAX));
    let both = [count, ("PORTEND_CACHE_BYTES", "1GiB")];
    assert_eq!((cache(&both).models, cache(&both).bytes), (Some(4), 1 << 30));
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    is_refused(&[("--bodies-limit", "1MiB")], {
        "--bodies-limit is 1MiB and body-limit is 50MiB: all bodies together need room for one of the largest"
    });
    is_refused(&[("PORTEND_TOKEN", "sesame"), ("--token-file", "good")], {
        "PORTEND_TOKEN and --token-file are both set: one of them is needed"
    });
    is_refused(&[("--token-file", "gone")], "--token-file is 'gone': it is not there");
    is_refused(&[("--token-file", "bad")], {
        "--token-file is 'bad': the file must hold a text of visible ASCII characters without spaces and nothing else"
    });
    is_refused(&[("--workers", "x"), ("PORTEND_QUEUE", "-1")], {
        "--workers is 'x': a whole number from 1 to 1024 is needed, for instance 8\n\
         PORTEND_QUEUE is '-1': a whole number from 0 to 1000000 is needed, for instance 256"
    });
    let token = is_good(&[("--token-file", "good")]).config.token;
    assert_eq!(token.map(|token| token.0).as_deref(), Some("sesame"));
}

#[test]
fn secrets_are_never_shown() {
    let pem = "-----BEGIN PRIVATE KEY-----\nsesame";
    for setting in settings().filter(|setting| setting.secret) {
        let pairs = ["monitoring-settings", "trace-headers"].contains(&setting.name);
        let value = if pairs { "password=sesame" } else { "sesame" };
        for variable in setting.variables {
            let effective = is_good(&[(variable, value)]);
            let shown = table(&effective) + &json(&effective) + &effective.notices.join("\n");
            assert!(shown.contains("***") && !shown.contains("sesame"), "{shown}");
        }
    }
    let effective = is_good(&[("PREDICTION_API_TLS_CERTIFICATE", pem)]);
    let shown = table(&effective) + &json(&effective);
    assert!(!shown.contains("sesame"), "a key may stand beside its certificate: {shown}");
    is_refused(&[("PORTEND_TOKEN", "open sesame")], {
        "PORTEND_TOKEN is not usable (it is secret and not shown): a text of visible ASCII characters without spaces is \
         needed"
    });
    is_refused(&[("--tls-certificate-key", pem)], {
        "--tls-certificate-key takes a path: others on this machine can read what a command is given"
    });
}

#[test]
fn the_operator_is_told_what_is_dangerous_ignored_or_unknown() {
    let check = |texts: &[(&str, &str)], expected: &[&str]| {
        let found = is_good(texts).notices;
        assert_eq!(found.len(), expected.len(), "{found:?}");
        found.iter().zip(expected).for_each(|(line, part)| assert!(line.contains(part), "{line}"));
    };
    check(&[("PREDICTION_API_MONITORING_ENABLED", "TRUE")], &["not yet spooled"]);
    check(&[("PREDICTION_API_MONITORING_ENABLED", "n")], &[]);
    check(&[("MONITORING_AGENT", "1")], &["no agent"]);
    check(
        &[("PYTHON3_SERVICES", "true"), ("PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED", "no")],
        &[
            "PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED has no meaning here and is ignored",
            "PYTHON3_SERVICES has no meaning here and is ignored",
        ],
    );
    check(
        &[("PREDICTION_API_X", "1"), ("file:PORTEND_Y", "1"), ("OTHER", "1")],
        &["PORTEND_Y, PREDICTION_API_X"],
    );
}

#[test]
fn a_server_that_anybody_reaches_is_told_so_unless_it_is_guarded() {
    let check = |texts: &[(&str, &str)], expected: Option<&str>| {
        let found = is_good(texts).open;
        let start =
            expected.map(|host| format!("warning: whoever reaches {host} may score, upload and delete"));
        assert_eq!(found.is_some(), start.is_some(), "{texts:?}: {found:?}");
        assert!(found.unwrap_or_default().starts_with(&start.unwrap_or_default()), "{texts:?}");
    };
    check(&[("--host", "0.0.0.0")], Some("0.0.0.0"));
    check(&[("--host", "::")], Some("::"));
    check(&[("--host", "0.0.0.0"), ("PORTEND_TOKEN", "x")], None);
    check(&[("--host", "0.0.0.0"), ("--read-only", "true")], None);
    for host in ["127.0.0.2", "::1", "[::1]", "LOCALHOST"] {
        check(&[("--host", host)], None);
    }
}

#[test]
fn a_long_or_odd_value_is_shown_short_and_on_one_line() {
    let error = resolved(&[("PORTEND_PORT", &format!("\u{1b}[2J\n{}", "9".repeat(100_000)))])
        .map(|_| ())
        .unwrap_err();
    assert!(error.len() < 300 && !error.contains(['\n', '\u{1b}']), "{error}");
}
