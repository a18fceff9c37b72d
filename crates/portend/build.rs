//! Writes into the program which crates it is built from, in the section and form of cargo-auditable: scanners of
//! images know it, and `portend image build` makes bills of materials of it.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Name, version, and whether it is ours.
type Crate = (String, String, bool);

const SYMBOL: &str = "AUDITABLE_VERSION_INFO";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let lock = folder.join("../../Cargo.lock");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", lock.display());
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(()); // images hold programs for Linux
    }
    let list = list(&crates(&folder)?);
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(list.as_bytes())?;
    let bytes: Vec<_> = packed.finish()?.iter().map(u8::to_string).collect();
    let source = PathBuf::from(env::var("OUT_DIR")?).join("crates.c");
    let bytes = bytes.join(",");
    let section = r#"__attribute__((used, section(".dep-v0")))"#;
    fs::write(&source, format!("{section} const unsigned char {SYMBOL}[] = {{{bytes}}};\n"))?;
    for object in cc::Build::new().file(&source).cargo_metadata(false).compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--undefined={SYMBOL}"); // or the linker leaves it out
    Ok(())
}

/// All that goes into the program: neither what only builds it nor what only
/// tests it.
fn crates(folder: &Path) -> Result<BTreeSet<Crate>, Box<dyn Error>> {
    let tree = Command::new(env::var("CARGO")?)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            "portend",
        ])
        .args(["--edges", "normal,no-proc-macro", "--target", &env::var("TARGET")?])
        .current_dir(folder)
        .output()?;
    if !tree.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&tree.stderr)).into());
    }
    let text = String::from_utf8(tree.stdout)?;
    let one = |line: &str| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        Some((name.to_owned(), version.to_owned(), words.any(|word| word.starts_with("(/"))))
    };
    Ok(text.lines().filter_map(one).collect())
}

/// The list in cargo-auditable's form. Names and versions of crates have no character that JSON writes in another way.
fn list(crates: &BTreeSet<Crate>) -> String {
    let one = |(name, version, ours): &Crate| {
        let source = if *ours { "local" } else { "crates.io" };
        let root = if name == "portend" { r#","root":true"# } else { "" };
        format!(r#"{{"name":"{name}","version":"{version}","source":"{source}"{root}}}"#)
    };
    format!(r#"{{"packages":[{}]}}"#, crates.iter().map(one).collect::<Vec<_>>().join(","))
}
