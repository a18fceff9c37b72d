//! `checksums.txt`: one `sha256  path` line per file of the package, for all but itself and signatures.

use std::collections::HashMap;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::CHECKSUMS;

/// Compares the list with the package: each listed file is there with that hash, each file is listed.
pub(super) fn verify(
    text: &str,
    names: &[String],
    mut hash: impl FnMut(&str) -> io::Result<String>,
) -> Result<(), String> {
    let mut listed: HashMap<&str, &str> = HashMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (sum, name) = line.split_once("  ").ok_or_else(|| format!("{CHECKSUMS}: bad line '{line}'"))?;
        let name = name.trim_end();
        if listed.insert(name, sum.trim()).is_some() {
            return Err(format!("{CHECKSUMS}: '{name}' is listed twice"));
        }
    }
    for name in names.iter().filter(|n| !is_exempt(n)) {
        let expected =
            listed.remove(name.as_str()).ok_or_else(|| format!("{CHECKSUMS} does not list '{name}'"))?;
        let found = hash(name).map_err(|e| format!("'{name}': {e}"))?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(format!(
                "'{name}' does not have the checksum that {CHECKSUMS} gives: it was changed or damaged"
            ));
        }
    }
    match listed.keys().min() {
        Some(name) => Err(format!("'{name}' is listed in {CHECKSUMS} but missing")),
        None => Ok(()),
    }
}

/// The list that a package would have.
pub(super) fn list(names: &[String], mut hash: impl FnMut(&str) -> io::Result<String>) -> io::Result<String> {
    let mut names: Vec<_> = names.iter().filter(|name| !is_exempt(name)).collect();
    names.sort();
    names.into_iter().map(|name| Ok(format!("{}  {name}\n", hash(name)?))).collect()
}

fn is_exempt(name: &str) -> bool {
    name == CHECKSUMS || name == "signature.ed25519" || name == "signature.json"
}

/// The SHA-256 of all bytes, in hexadecimal.
pub(super) fn hash(mut source: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
