//! Makes the table of the dashboard's files from the folder `ui`: each as it is, and compressed.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::xxh3_128;

/// Folders of the checks.
const NOT_SERVED: [&str; 2] = ["test", "node_modules"];
/// Types alone, which a browser has no use for.
const TYPES: &str = "types.js";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("ui");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    // As texts, since they are looked up so: as a path, `a/b` precedes `a.js`.
    files.sort_by_key(|file| file.to_string_lossy().into_owned());
    let mut table = String::from("[\n");
    for file in &files {
        let content = fs::read(file)?;
        let path = file.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
        let compressed = out.join(format!("{}.gz", path.replace('/', "+")));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        fs::write(&compressed, encoder.finish()?)?;
        let hash = format!("{:032x}", xxh3_128(&content));
        writeln!(
            table,
            "Asset {{ path: {:?}, kind: {:?}, hash: {hash:?}, plain: include_bytes!({:?}), gzip: include_bytes!({:?}) }},",
            format!("/{path}"),
            kind(file).unwrap_or_default(),
            file.display().to_string(),
            compressed.display().to_string(),
        )?;
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// Adds the files of a folder that a browser needs.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            // Cargo looks into all of a folder, and the folders of the checks must not rebuild the product.
            if !NOT_SERVED.contains(&name.as_str()) {
                println!("cargo::rerun-if-changed={}", path.display());
                collect(&path, files)?;
            }
        } else if kind(&path).is_some() && name != TYPES {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}

/// The media type of a file that is served.
fn kind(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
