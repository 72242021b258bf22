//! The dashboard: the files that a browser loads from the admin address. The build script joins the modules, and the styles.
//!
//! They are the same for all clients and reveal nothing, so they need no token. The dashboard asks the API for its figures.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};

/// A file of the dashboard.
#[derive(Debug)]
struct Asset {
    /// Its path, such as `/src/main.js`.
    path: &'static str,
    /// Its media type.
    kind: &'static str,
    /// A hash of its content.
    hash: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// All files, sorted by path. The build script makes the table from the folder `ui`.
static ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page, which is served at `/` too.
const INDEX: &str = "/index.html";

/// Nothing from elsewhere, no script or style in the page itself, and no frame around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'";

/// Fields of every response.
const FIELDS: [(HeaderName, &str); 9] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "accept-encoding"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
];

/// The modules, to be loaded at once: a browser would find them one import after the other.
static PRELOAD: LazyLock<HeaderValue> = LazyLock::new(|| {
    let modules = ASSETS
        .iter()
        .filter(|asset| asset.kind.starts_with("text/javascript"));
    let links = modules.map(|asset| format!("<{}>; rel=modulepreload", asset.path));
    let links = links.collect::<Vec<String>>().join(", ");
    HeaderValue::try_from(links).unwrap_or(HeaderValue::from_static(""))
});

/// The paths of the dashboard, each with its handler.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>()
-> impl Iterator<Item = (&'static str, MethodRouter<S>)> {
    let root = find("/").into_iter().map(|index| ("/", index));
    let files = ASSETS.iter().map(|asset| (asset.path, asset));
    root.chain(files).map(|(path, asset)| {
        (
            path,
            get(async move |headers: HeaderMap| asset.response(&headers)),
        )
    })
}

/// Returns true if a file of the dashboard is at this path.
pub(crate) fn serves(path: &str) -> bool {
    find(path).is_some()
}

fn find(path: &str) -> Option<&'static Asset> {
    let path = match path {
        "/" => INDEX,
        path => path,
    };
    let at = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    ASSETS.get(at)
}

impl Asset {
    fn response(&self, headers: &HeaderMap) -> Response {
        let is_compressed = accepts_gzip(headers);
        // A strong tag is about the bytes, and so about the coding (RFC 9110 §8.8.3.3).
        let tag = match is_compressed {
            true => format!("\"{}-gzip\"", self.hash),
            false => format!("\"{}\"", self.hash),
        };
        let mut response = if has_tag(headers, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let body = match is_compressed {
                true => self.gzip,
                false => self.plain,
            };
            let mut response = body.into_response();
            let fields = response.headers_mut();
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
            if is_compressed {
                fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let fields = response.headers_mut();
        for (name, value) in FIELDS {
            fields.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(tag) = HeaderValue::try_from(tag) {
            fields.insert(header::ETAG, tag);
        }
        if self.path == INDEX {
            fields.insert(header::LINK, PRELOAD.clone());
        }
        response
    }
}

/// Returns true if the client takes gzip (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        is_gzip && weight != Some(0.0)
    })
}

/// Returns true if `If-None-Match` has this tag, or `*` (RFC 9110 §13.1.2). Its comparison ignores that a tag is weak.
fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut given = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    given.any(|given| {
        let given = given.trim();
        given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag
    })
}

/// The modules of the build script, to be tested: a build script has no tests.
#[cfg(test)]
#[path = "../build/bundle.rs"]
mod bundle;
#[cfg(test)]
#[path = "../build/compact.rs"]
mod compact;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use aws_lc_rs::digest::{SHA256, digest};
    use serde_json::Value;

    use super::*;

    /// The size that all files may have together, as they are sent.
    const BYTES_MAX: usize = 120_000;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ui"))
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let fields = fields.iter().cloned();
        fields
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn each_file_is_found() {
        assert!(ASSETS.is_sorted_by(|one, next| one.path < next.path));
        assert!(ASSETS.iter().all(|asset| serves(asset.path)));
    }

    #[test]
    fn all_files_together_are_small() {
        let sum: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(sum <= BYTES_MAX, "{sum} bytes");
    }

    #[test]
    fn vendored_files_are_as_they_were_taken() {
        let folder = folder().join("vendor");
        let list = fs::read_to_string(folder.join("VENDOR.json")).unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        let mut listed = BTreeSet::new();
        for entry in list["files"].as_array().unwrap() {
            let name = entry["file"].as_str().unwrap();
            let hash = digest(&SHA256, &fs::read(folder.join(name)).unwrap());
            let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(entry["sha256"], hash.as_str(), "{name}");
            let licence = entry["licence_file"].as_str().unwrap();
            assert!(folder.join(licence).is_file(), "{licence}");
            listed.insert(format!("/vendor/{name}"));
        }
        let served = ASSETS.iter().filter(|asset| asset.path.starts_with("/vendor/"));
        let served: BTreeSet<String> = served.map(|asset| asset.path.to_owned()).collect();
        assert_eq!(listed, served);
    }

    /// The files that a file of the dashboard names: imports of modules, scripts, styles and icons of the page.
    fn named(asset: &Asset) -> Vec<String> {
        let text = std::str::from_utf8(asset.plain).unwrap();
        let keys: &[&str] = match asset.kind.split(';').next() {
            Some("text/html") => &["src=\"", "href=\""],
            Some("text/javascript") => &["from \"", "from\"", "import(\"", "import \""],
            _ => &[],
        };
        let mut all = Vec::new();
        for key in keys {
            for (at, _) in text.match_indices(key) {
                let rest = &text[at + key.len()..];
                let target = rest.split('"').next().unwrap();
                let is_import = target.starts_with('.') && target.ends_with(".js");
                if is_import || asset.path == INDEX {
                    all.push(target.to_owned());
                }
            }
        }
        all
    }

    fn resolved(base: &str, target: &str) -> String {
        let mut parts: Vec<&str> = base.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    #[test]
    fn every_file_that_is_named_is_served() {
        for asset in ASSETS {
            for target in named(asset) {
                let path = resolved(asset.path, &target);
                assert!(serves(&path), "{} names {target}", asset.path);
            }
        }
        assert!(serves("/") && serves(INDEX) && serves("/src/main.js") && serves("/style.css"));
        assert!(
            !serves("/src/app.js") && !serves("/src") && !serves("/src/main.js/") && !serves("/package.json")
        );
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own() {
        let page = std::str::from_utf8(find("/").unwrap().plain).unwrap();
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains(" on"));
        for script in page.split("<script").skip(1) {
            assert!(
                script.contains("src=\"") && script.contains("></script>"),
                "{script}"
            );
        }
    }

    #[test]
    fn a_file_is_sent_once() {
        let index = find("/").unwrap();
        let first = index.response(&headers(&[(header::ACCEPT_ENCODING, "gzip, br")]));
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let tag = first.headers()[header::ETAG].clone();
        let mut again = headers(&[(header::ACCEPT_ENCODING, "gzip")]);
        again.insert(header::IF_NONE_MATCH, tag.clone());
        let second = index.response(&again);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(second.headers()[header::ETAG], tag);
        again.remove(header::ACCEPT_ENCODING);
        let plain = index.response(&again);
        assert_eq!(plain.status(), StatusCode::OK);
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    }

    #[test]
    fn codings_are_understood() {
        let check = |value, expected| {
            assert_eq!(
                accepts_gzip(&headers(&[(header::ACCEPT_ENCODING, value)])),
                expected,
                "{value}"
            );
        };
        check("gzip", true);
        check("br, GZIP;q=0.5", true);
        check("gzip;q=0", false);
        check("gzip; q=0.000, identity", false);
        check("br", false);
        check("", false);
    }
}
