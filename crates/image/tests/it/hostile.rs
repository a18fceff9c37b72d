//! Archives and layouts that somebody made to do harm: refused soon, with a reason, and nothing is written elsewhere.

use std::fs;
use std::path::Path;

use portend_image::{ArchiveSource, LayoutSource, Source, inspect};

/// One block of a header, with its checksum.
fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    let padding = vec![0; bytes.len().next_multiple_of(512) - bytes.len()];
    [header(name, b'0', bytes.len() as u64), bytes.to_vec(), padding].concat()
}

fn check(folder: &Path, bytes: &[u8], expected: &str) {
    let path = folder.join("a.tar");
    fs::write(&path, bytes).unwrap();
    let read = ArchiveSource::open(&path, None).and_then(|source| inspect(&source, None));
    let error = read.unwrap_err().to_string();
    assert!(error.contains(expected), "{error}, not {expected}");
}

#[test]
fn hostile_archives_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let check = |bytes: &[u8], expected: &str| check(folder.path(), bytes, expected);
    let zeros = "0".repeat(64);
    let index = |size: &str, digest: &str| {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}","digest":"sha256:{digest}","size":{size}}}]}}"#
        );
        file("index.json", text.as_bytes())
    };
    check(b"", "it is no image");
    check(&[b'x'; 2000], "not a tar archive");
    check(&[header("a", b'0', 10), b"short".to_vec()].concat(), "it is cut off");
    check(&header("a", b'0', 1 << 62), "it is cut off");
    check(&file("index.json", b"{}")[..513], "it is cut off");
    check(&[file("index.json", b"{}"), file("./x/../index.json", b"{}")].concat(), "has 'index.json' twice");
    check(
        &[header("@", b'L', 1 << 20), vec![b'a'; 1 << 20]].concat(),
        "an extended header has 1048576 bytes",
    );
    let size = b"20 size=99999999999\n";
    check(&[header("@", b'x', 20), size.to_vec(), vec![0; 492], file("a", b"x")].concat(), "it is cut off");
    check(&index("99999999999", &zeros), "has 99999999999 bytes, more than 4194304");
    check(&index("1", &zeros), "has no blob");
    check(&index("1", "../../../../../../../../../../../../etc/passwd"), "is not a digest");
    let named =
        |text: &str| [index("1", &zeros), file(&format!("blobs/sha256/{zeros}"), text.as_bytes())].concat();
    check(&named("x"), "its bytes have the digest");
    check(&named("xy"), "it is longer than the 1 bytes");
    check(&file("index.json", &vec![b' '; 5 << 20]), "index.json has 5242880 bytes, more than 4194304");
    check(&file("index.json", &[b"[".repeat(1 << 20), vec![]].concat()), "not a manifest of an image");
    let docker = |text: &str| file("manifest.json", text.as_bytes());
    check(
        &docker(r#"[{"Config":"../../etc/passwd","Layers":[]}]"#),
        "names '../../etc/passwd', which is not there",
    );
    check(&docker("[]"), "it holds no such image");
    check(&docker(r#"[{"Config":"c"}]"#), "missing field `Layers`");
    let layers = vec!["\"c\""; 1001].join(",");
    let many = format!(r#"[{{"Config":"c","Layers":[{layers}]}}]"#);
    check(&[docker(&many), file("c", b"{}")].concat(), "it has 1001 layers, more than 1000");
    // a link to itself, and one to a file outside
    let mut link = header("c", b'2', 0);
    link[157..158].copy_from_slice(b"c");
    let sum: u32 = link[..148].iter().chain(&link[156..]).map(|&b| u32::from(b)).sum::<u32>() + 256;
    link[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    check(&[docker(r#"[{"Config":"c","Layers":[]}]"#), link].concat(), "names 'c', which is not there");
}

#[test]
fn an_archive_that_unpacks_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // 1.2 GB of zeros in about 110 kB of zstd
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1_200_000_000), 3).unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    check(folder.path(), &bomb, "it unpacks to more than 1073741824 bytes");
    check(folder.path(), &bomb[..bomb.len() / 2], "");
}

#[test]
fn what_is_no_layout_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let open = |tag| LayoutSource::open(folder.path(), tag).and_then(|source| source.root().map(|_| ()));
    assert!(open(None).unwrap_err().to_string().ends_with("is not an OCI layout: it has no oci-layout"));
    fs::write(folder.path().join("oci-layout"), "{}").unwrap();
    assert!(open(None).unwrap_err().to_string().ends_with("index.json is not there"));
    fs::write(folder.path().join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert!(open(Some("v1")).unwrap_err().to_string().contains("holds no such image"));
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero")).unwrap();
    fs::remove_file(folder.path().join("index.json")).unwrap();
    fs::rename(folder.path().join("zero"), folder.path().join("index.json")).unwrap();
    assert!(open(None).unwrap_err().to_string().ends_with("not a file"));
}
