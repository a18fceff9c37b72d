//! `checksums.txt`: one `sha256  path` line per file of the package, for all but itself and signatures.

use std::collections::HashMap;
use std::io::{self, Read};

use ring::digest::{Context, SHA256};

use super::{CHECKSUMS, SIGNATURE, SIGNATURE_NOTE};

/// Compares the list with the package: each listed file is there with that hash, each file is listed. Gives
/// the hashes.
pub(super) fn verify(
    text: &str,
    names: &[String],
    mut hash: impl FnMut(&str) -> io::Result<String>,
) -> Result<HashMap<String, String>, String> {
    let mut listed: HashMap<&str, &str> = HashMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (sum, name) = line.split_once("  ").ok_or_else(|| format!("{CHECKSUMS}: bad line '{line}'"))?;
        let name = name.trim_end();
        if listed.insert(name, sum.trim()).is_some() {
            return Err(format!("{CHECKSUMS}: '{name}' is listed twice"));
        }
    }
    let mut verified = HashMap::new();
    for name in names.iter().filter(|n| !is_exempt(n)) {
        let expected =
            listed.remove(name.as_str()).ok_or_else(|| format!("{CHECKSUMS} does not list '{name}'"))?;
        let found = hash(name).map_err(|e| format!("'{name}': {e}"))?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(format!(
                "'{name}' does not have the checksum that {CHECKSUMS} gives: it was changed or damaged"
            ));
        }
        verified.insert(name.clone(), found);
    }
    match listed.keys().min() {
        Some(name) => Err(format!("'{name}' is listed in {CHECKSUMS} but missing")),
        None => Ok(verified),
    }
}

/// The list for files by their path and hash.
pub(super) fn list<'a>(files: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut lines: Vec<_> = files.into_iter().filter(|(name, _)| !is_exempt(name)).collect();
    lines.sort_unstable();
    lines.into_iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
}

fn is_exempt(name: &str) -> bool {
    [CHECKSUMS, SIGNATURE, SIGNATURE_NOTE].contains(&name)
}

/// The number of bytes and their SHA-256 in hexadecimal.
pub(super) fn measure(mut source: impl Read) -> io::Result<(u64, String)> {
    let mut hasher = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
    Ok((length, hexadecimal(hasher.finish().as_ref())))
}

/// Two lower-case digits a byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
