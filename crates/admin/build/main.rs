//! Makes the table of the dashboard's files from the folder `ui`: each as it is sent, and compressed.
//!
//! The files run as they lie there, too. Here all modules become one, and all styles: a browser asks for few files, and
//! much the same text in one file compresses to half of what it takes in many.

mod bundle;
mod compact;

use std::collections::BTreeMap;
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
/// The page.
const INDEX: &str = "index.html";
/// The module that the page names, which gets all others.
const ENTRY: &str = "src/main.js";
/// The style of all styles.
const STYLE: &str = "style.css";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("ui");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build");
    let mut paths = Vec::new();
    collect(&root, &mut paths)?;
    let mut files = BTreeMap::new();
    for path in paths {
        let name = path.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
        files.insert(name, fs::read_to_string(&path)?);
    }
    // As texts, since they are looked up so: as a path, `a/b` precedes `a.js`.
    let files = joined(files)?;
    let mut table = String::from("[\n");
    for (path, content) in &files {
        let plain = out.join(path.replace('/', "+"));
        let compressed = out.join(format!("{}.gz", path.replace('/', "+")));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content.as_bytes())?;
        fs::write(&plain, content)?;
        fs::write(&compressed, encoder.finish()?)?;
        let hash = format!("{:032x}", xxh3_128(content.as_bytes()));
        writeln!(
            table,
            "Asset {{ path: {:?}, kind: {:?}, hash: {hash:?}, plain: include_bytes!({:?}), gzip: include_bytes!({:?}) }},",
            format!("/{path}"),
            kind(Path::new(path)).unwrap_or_default(),
            plain.display().to_string(),
            compressed.display().to_string(),
        )?;
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// The files that are sent, of those in the folder.
fn joined(mut files: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let modules = files.extract_if(.., |path, _| path.starts_with("src/")).collect();
    let mut styles: BTreeMap<String, String> = files
        .extract_if(.., |path, _| path.starts_with("style/"))
        .collect();
    let index = files.remove(INDEX).ok_or("there is no page")?;
    let (mut page, mut style) = (String::new(), String::new());
    for line in index.lines() {
        let named = line.split('"').find(|part| part.starts_with("style/"));
        match named {
            Some(named) => {
                if style.is_empty() {
                    writeln!(page, "<link rel=\"stylesheet\" href=\"{STYLE}\">")?;
                }
                let text = styles
                    .remove(named)
                    .ok_or_else(|| format!("there is no style `{named}`"))?;
                style.push_str(&compact::compact_style(&text));
            }
            None => writeln!(page, "{line}")?,
        }
    }
    if let Some(path) = styles.keys().next() {
        return Err(format!("the page does not name `{path}`").into());
    }
    files.insert(INDEX.to_owned(), page);
    files.insert(STYLE.to_owned(), style);
    files.insert(ENTRY.to_owned(), bundle::bundle(ENTRY, &modules)?);
    Ok(files)
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
        } else if kind(&path).is_some() {
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
