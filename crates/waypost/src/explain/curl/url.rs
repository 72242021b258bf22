//! curl's transformations of a URL.

use std::ops::Range;

use anyhow::bail;

/// The range of the authority: user, host and port.
fn authority(url: &str) -> Range<usize> {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| start + at);
    start..end
}

/// Removes the user from a URL and returns it as `name:password`.
pub(super) fn take_user(url: &mut String) -> Option<Vec<u8>> {
    let Range { start, end } = authority(url);
    let at = start + url[start..end].rfind('@')?;
    let (name, password) = url[start..at].split_once(':').unwrap_or((&url[start..at], ""));
    let user = [percent_decoded(name), percent_decoded(password)].join(&b':');
    url.replace_range(start..=at, "");
    Some(user)
}

/// Adds `text` to the query of a URL.
pub(super) fn add_query(url: &mut String, text: &str) {
    add_slash(url);
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(text);
}

/// Adds the name of an uploaded file to a URL that ends in a slash.
pub(super) fn add_file_name(url: &mut String, file: &str) {
    if file == "-" || file == "." {
        return;
    }
    add_slash(url);
    let path_end = url.find('?').unwrap_or(url.len());
    if url[..path_end].ends_with('/') {
        let name = file.rsplit('/').next().unwrap_or(file);
        url.insert_str(path_end, &percent_encoded(name, "%20"));
    }
}

/// Adds the path `/` to a URL without a path.
fn add_slash(url: &mut String) {
    let end = authority(url).end;
    if !url[end..].starts_with('/') {
        url.insert(end, '/');
    }
}

/// The host of a URL, with its port.
pub(super) fn host(url: &str) -> &str {
    &url[authority(url)]
}

/// The URL with `target` as its path and query.
pub(super) fn with_target(url: &str, target: &str) -> String {
    format!("{}{target}", &url[..authority(url).end])
}

/// The URL with `.` and `..` resolved, and without a fragment.
pub(super) fn without_dot_segments(url: &str) -> String {
    let slash = authority(url).end;
    if !url[slash..].starts_with('/') {
        return url.to_owned();
    }
    let path_end = url[slash..].find('?').map_or(url.len(), |at| slash + at);
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = url[slash + 1..path_end].split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("{}/{}{}", &url[..slash], kept.join("/"), &url[path_end..])
}

/// Encodes the value of `--data-urlencode`: `content`, `=content` or `name=content`.
///
/// # Errors
/// If the content is in a file.
pub(super) fn form_encoded(value: &str) -> anyhow::Result<String> {
    if let Some((name, content)) = value.split_once('=') {
        let equals = if name.is_empty() { "" } else { "=" };
        return Ok(format!("{name}{equals}{}", percent_encoded(content, "+")));
    }
    if value.contains('@') {
        bail!("`{value}` names a file, and files are not read here; hint: write the content instead");
    }
    Ok(percent_encoded(value, "+"))
}

fn percent_encoded(text: &str, space: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push_str(space),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Decodes `%XX`; malformed triples stay.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}
