//! Bare files that hold something else, and golden model files cut off or damaged at many places.

use std::fs;
use std::path::Path;

use super::{check_bytes_refused, golden_files, load, score};

/// Pseudo-random numbers that are the same in each run (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize
    }
}

fn is_lightgbm(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "txt")
}

#[test]
fn a_file_that_is_no_model_is_refused_by_what_it_is() {
    let mut random = Random(7);
    let noise: Vec<u8> = (0..5000).map(|_| random.next() as u8 | 0x80).collect();
    let deep = |open: &str| open.repeat(100_000).into_bytes();
    let neither =
        "PATH is not a model that Portend reads: it is neither XGBoost JSON or UBJSON nor LightGBM text";
    let json = "model file PATH: not an XGBoost JSON model: ";
    let ubjson = "model file PATH: not an XGBoost UBJSON model: ";
    for (name, bytes, expected) in [
        ("m.json", b"".to_vec(), "PATH is not a model that Portend reads: the file is empty"),
        ("m.json", b" \n ".to_vec(), "the file is empty"),
        ("m.bin", noise, neither),
        ("m.json", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), neither),
        ("m.json", b"[1, 2]".to_vec(), neither),
        ("m.model", b"binf\0\0\0\x3f".to_vec(), "it is XGBoost's old binary format, which is not read"),
        ("m.model", b"bs64Ym".to_vec(), "save it as .json"),
        ("m.json", b"PK\x03\x04 and so on".to_vec(), "package PATH: it is not a readable zip archive"),
        ("m.json", b"{\"a\": 1}".to_vec(), &format!("{json}missing field `learner`")),
        ("m.json", b"{}".to_vec(), &format!("{json}missing field `learner`")),
        ("m.json", b"{\"learner\": 7}".to_vec(), &format!("{json}invalid type: integer `7`")),
        ("m.json", b"{".to_vec(), &format!("{ubjson}the file ends too early")),
        (
            "m.ubj",
            b"{L\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            "a length of 9223372036854775807 where 0 bytes",
        ),
        ("m.ubj", b"{U\x07learner[$[#l\x7f\xff\xff\xff".to_vec(), ubjson),
        (
            "m.ubj",
            b"{U\x07learner[$d#L\x3f\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            "a length of 4611686018427387903 where 0 bytes are left",
        ),
        (
            "m.ubj",
            b"{U\x01x[$D#L\x80\0\0\0\0\0\0\0".to_vec(),
            "a length of -9223372036854775808 where 0 bytes",
        ),
        ("m.ubj", b"{U\x01x[$D#U\x05aaaaa".to_vec(), "the file ends too early"),
        ("m.ubj", b"{U\x01x[$C#l\0\xff\xff\xffaaaa".to_vec(), "a length of 16777215 where 4 bytes are left"),
        ("m.ubj", b"{U\x01x[$N#l\x7f\xff\xff\xff".to_vec(), "'N' where the type of a list's items should be"),
        ("m.ubj", b"{U\x01x[$dU\x05aaaaa".to_vec(), "a typed list has no length"),
        ("m.ubj", b"{U\x01x[#d\0\0\0\0".to_vec(), "'d' where an integer should be"),
        ("m.ubj", b"{$U#U\x02U\x07learner\x01".to_vec(), ubjson),
        ("m.ubj", [b"{U\x01x[".to_vec(), deep("$[#U\x01")].concat(), "values are nested too deeply"),
        ("m.ubj", [b"{U\x01x".to_vec(), deep("N")].concat(), "the file ends too early"),
        ("m.json", deep("{\"learner\":"), json),
        ("m.json", deep("{\"x\":"), json),
        ("m.json", [b"{\"learner\":".to_vec(), deep("[")].concat(), json),
        ("m.ubj", deep("{U\x01x"), "values are nested too deeply"),
        ("m.txt", b"tree\n".to_vec(), "model file PATH: 'num_class' is missing"),
        ("m.txt", b"tree\n\xff\xfe=1\n".to_vec(), "the file is not UTF-8 text"),
    ] {
        let what = format!("{name} {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(30)]));
        check_bytes_refused(name, &bytes, &what, expected);
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_rather_than_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    super::check_refused(&path, "pipe", "PATH is not a model that Portend reads: it is neither a file nor");
    super::check_refused(Path::new("/dev/zero"), "device", "it is neither a file nor a directory");
    super::check_refused(
        &folder.path().join("none"),
        "nothing",
        "cannot read PATH: No such file or directory",
    );
}

/// What follows the trees of a LightGBM file (importances, parameters) is no part of the model: a file cut off there
/// may load, and scores as the whole file does.
#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut cuts = 0;
    for (path, bytes) in golden_files() {
        let copy = folder.path().join(path.file_name().unwrap());
        let end = memchr::memmem::find(&bytes, b"end of trees").filter(|_| is_lightgbm(&path));
        for length in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
            fs::write(&copy, &bytes[..length]).unwrap();
            let in_tail = end.is_some_and(|end| length >= end + "end of trees".len());
            let loaded = load(&copy);
            assert!(loaded.is_err() || in_tail, "{} cut to {length} bytes is loaded", path.display());
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
}

#[test]
fn a_damaged_byte_never_makes_loading_or_scoring_panic() {
    let folder = tempfile::tempdir().unwrap();
    let (mut random, mut loads, mut scored) = (Random(20260101), 0, 0);
    for (path, mut bytes) in golden_files() {
        let rows = fs::read_to_string(path.parent().unwrap().join("../../rows.csv")).unwrap();
        let rows: String = rows.split_inclusive('\n').take(60).collect();
        let copy = folder.path().join(path.file_name().unwrap());
        for _ in 0..200 {
            let (at, byte) = (random.next() % bytes.len(), random.next() as u8);
            let before = std::mem::replace(&mut bytes[at], byte);
            fs::write(&copy, &bytes).unwrap();
            if let Ok(model) = load(&copy) {
                loads += 1;
                scored += usize::from(score(&model, &rows).is_some());
            }
            bytes[at] = before;
        }
    }
    println!("{loads} damaged files were loaded, {scored} of them scored");
}
