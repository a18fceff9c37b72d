//! Takes the two files of Swagger UI that its page needs out of the archive that a crate brings, and packs each as clients
//! take it.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let to = std::env::var("OUT_DIR")?;
    let mut archive = ZipArchive::new(std::io::Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in FILES {
        let end = format!("/dist/{name}");
        let has = |at: &usize| matches!(archive.name_for_index(*at), Some(Ok(path)) if path.ends_with(&end));
        let place = (0..archive.len()).find(has);
        let mut bytes = Vec::new();
        archive.by_index(place.ok_or(name)?)?.read_to_end(&mut bytes)?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&bytes)?;
        std::fs::write(Path::new(&to).join(format!("{name}.gz")), packed.finish()?)?;
    }
    Ok(())
}
