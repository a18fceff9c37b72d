//! The Grafana dashboard as a file: what Grafana needs is there, and it asks only for metrics that there are. Whether its
//! queries find anything, a Prometheus tells (`tests/clients/metrics.py`).

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::repository;

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(repository("deploy/grafana/portend.json")).unwrap()).unwrap()
}

/// The names after `$`, in braces or not, those of Grafana left out.
fn variables(text: &str) -> BTreeSet<&str> {
    let names = text.split('$').skip(1).map(|rest| {
        let rest = rest.trim_start_matches('{');
        &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
    });
    names.filter(|name| !name.starts_with("__")).collect()
}

#[test]
fn panels_are_told_apart_lie_side_by_side_and_ask_the_chosen_source() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39));
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            assert!(
                (place("y")..place("y") + place("h")).all(|y| taken.insert((x, y))),
                "{title} lies on another"
            );
        }
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn every_variable_is_declared_and_every_metric_is_told() {
    let dashboard = dashboard();
    let text = dashboard.to_string();
    let listed = dashboard["templating"]["list"].as_array().unwrap();
    let declared: BTreeSet<_> = listed.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(variables(&text), declared);
    let page = fs::read_to_string(repository("docs/reference/metrics.md")).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics: BTreeSet<_> =
        words.filter(|word| word.starts_with("portend_") || word.starts_with("process_")).collect();
    assert!(metrics.len() > 20, "{metrics:?}");
    for metric in metrics {
        let ends = ["_bucket", "_sum", "_count"];
        let family = ends.iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
        assert!(page.contains(&format!("| `{family}` |")), "{metric} is not in docs/reference/metrics.md");
    }
}
