//! What is kept in memory: loaded when it is first asked for, once for all who ask, and gone when there is too much.

use serde_json::{Value, json};

use crate::repository;
use crate::running_server::{RunningServer, wait_for};
use crate::uploads::{predict, serve_with, stump, stumps};

/// The ids of the models that are in memory.
fn loaded(server: &RunningServer) -> String {
    let listed: Value = serde_json::from_slice(&server.get("/deployments").body).unwrap();
    let listed = listed["deployments"].as_array().unwrap();
    let ids = listed.iter().filter(|one| one["loaded"] == json!(true)).map(|one| one["id"].as_str().unwrap());
    ids.collect::<Vec<_>>().join(" ")
}

fn was_in_memory(server: &RunningServer, id: &str) -> String {
    let answer = server.post_csv(&format!("/deployments/{id}/predictions"), "x\n1\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-datarobot-model-cache-hit").unwrap().to_owned()
}

#[test]
fn what_was_not_asked_for_the_longest_leaves_and_comes_back() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0), ("c/m.txt", 3.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &[("SCORING_MODEL_CACHE_MAXSIZE", "2")]));
    assert_eq!(loaded(&server), "");
    // asked for, whether it was in memory, what is afterwards
    for (id, hit, expected) in [
        ("a", "false", "a"),
        ("a", "true", "a"),
        ("b", "false", "a b"),
        ("a", "true", "a b"),
        ("c", "false", "a c"),
        ("b", "false", "b c"),
        ("c", "true", "b c"),
    ] {
        std::thread::sleep(std::time::Duration::from_millis(3)); // a moment of the clock
        assert_eq!(was_in_memory(&server, id), hit, "{id}");
        wait_for("the cache", || (loaded(&server) == expected).then_some(()));
    }
    let info: Value = serde_json::from_slice(&server.get("/deployments/a/info").body).unwrap();
    assert_eq!((&info["state"], &info["loaded"]), (&json!("unloaded"), &json!(false)));
    assert!(
        info["memoryBytes"].as_u64().unwrap() > 100 && info["loadTimeMs"].as_f64().unwrap() > 0.0,
        "{info}"
    );
    assert!(info["digest"].as_str().unwrap().len() == 64 && info["lastUse"].is_string(), "{info}");
    let log = server.stop();
    assert!(log.contains("model 'b' left memory: "), "{log}");
}

#[test]
fn models_are_loaded_at_the_start_when_that_is_asked_for() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &[("PRELOAD_MODELS_ENABLED", "true")]));
    assert_eq!((loaded(&server).as_str(), was_in_memory(&server, "b").as_str()), ("a b", "true"));
    server.stop();
}

#[test]
fn requests_that_come_together_wait_for_one_load() {
    let folder = stumps(&[("quick/m.txt", 1.0)]);
    std::fs::create_dir(folder.path().join("slow")).unwrap();
    // many trees, so that it takes a while
    let one = stump(0.0, 0.0);
    let tree = one.split_once("Tree=0\n").unwrap().1.split_once("\n\n\nend").unwrap().0;
    let head = one.split_once("Tree=0\n").unwrap().0;
    let trees: String = (0..60_000).map(|i| format!("Tree={i}\n{tree}\n\n\n")).collect();
    std::fs::write(folder.path().join("slow/m.txt"), format!("{head}{trees}end of trees\n")).unwrap();
    let server = RunningServer::start(serve_with(folder.path(), &[]));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| was_in_memory(&server, "slow"))).collect();
        assert_eq!(predict(&server, "quick"), Ok(1.0));
        threads.into_iter().for_each(|thread| _ = thread.join().unwrap());
    });
    assert_eq!(was_in_memory(&server, "slow"), "true");
    let log = server.stop();
    assert_eq!(log.matches("model 'slow' loaded from m.txt in ").count(), 1, "{log}");
}

#[test]
fn a_repository_is_ready_before_its_models_are_asked_for() {
    let server = RunningServer::serve(&repository("examples/demo"));
    assert_eq!((server.get("/ready").status, loaded(&server).as_str()), (200, ""));
    server.stop();
}
