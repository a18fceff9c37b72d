//! `portend package sign`: signs in place, and looks at the result with the key's public half before it counts.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use portend_model::Package;
use portend_model::package::{PublicKey, SignaturePolicy, Signed, SigningKey, Trust};

use super::arguments::SignArguments;
use super::trust::key_file;
use super::{created, print, replace, rfc3339};
use crate::CommandError;
use crate::artifact::place;

pub(super) fn run(arguments: &SignArguments) -> Result<ExitCode, CommandError> {
    let path = arguments.path.as_path();
    if place::url(path.as_os_str())?.is_some() {
        let reason = "a package is signed where it can be changed in place: sign a file, then `portend artifact cp` it";
        return Err(CommandError::Package(reason.to_owned()));
    }
    let key = read(&arguments.key)?;
    let public = key.public("this key");
    let key_id = arguments.key_id.clone().unwrap_or_else(|| public.id());
    let created = created(arguments.created.as_deref())?.unwrap_or_else(|| rfc3339(SystemTime::now()));
    let failed = |e: portend_model::LoadError| CommandError::Package(e.to_string());
    let mut signed = Signed::new(path, &key, &key_id, &created).map_err(failed)?;
    if signed.is_directory() {
        for (name, bytes) in signed.files() {
            replace::put(&path.join(name), true, |file| file.write_all(bytes), |_| Ok(()))?;
        }
        check(path, public)?;
    } else {
        replace::put(
            &replace::place(path)?,
            true,
            |file| signed.write(file),
            |written| check(written, public),
        )?;
    }
    print(&format!("{} is signed with key '{key_id}'\n", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn check(path: &Path, key: PublicKey) -> Result<(), CommandError> {
    let trust = Trust { policy: SignaturePolicy::Require, keys: vec![key] };
    let opened = Package::open_trusted(path, &trust);
    opened.map(|_| ()).map_err(|e| CommandError::Package(format!("the signed package is wrong: {e}")))
}

fn read(path: &Path) -> Result<SigningKey, CommandError> {
    let failed = |reason: String| CommandError::Package(format!("key {}: {reason}", path.display()));
    let pem = key_file(path).map_err(|e| failed(e.to_string()))?;
    SigningKey::from_pem(&pem).map_err(|e| failed(e.to_string()))
}
