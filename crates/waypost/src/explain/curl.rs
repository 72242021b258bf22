//! Parsing a curl command line into the request that curl would send.

mod known;
mod url;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request as curl would send it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CurlRequest {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
}

/// The options parsed so far.
#[derive(Debug, Default)]
struct Options {
    method: Option<String>,
    urls: Vec<String>,
    headers: Vec<(String, Option<String>)>,
    body: Option<Body>,
    json: bool,
    form: bool,
    upload: Option<String>,
    get: bool,
    head: bool,
    path_as_is: bool,
    compressed: bool,
    http10: bool,
    agent: Option<String>,
    referer: Option<String>,
    user: Option<Vec<u8>>,
    scheme: Option<Scheme>,
    range: Option<String>,
    time_condition: Option<String>,
    cookies: Vec<String>,
    url_query: Vec<String>,
    target: Option<String>,
}

/// The data to send.
#[derive(Debug, Default)]
struct Body {
    text: String,
    /// True if a part of the data is in a file, which is not read.
    in_file: bool,
}

/// An authentication scheme other than Basic.
#[derive(Debug)]
enum Scheme {
    Bearer(String),
    /// The first request has no credentials; the response names the scheme.
    AfterChallenge,
    /// A scheme whose credentials depend on secrets and the time, and are not known here.
    Named(&'static str),
}

/// Parses `words`, a curl command line with or without `curl` in front. A single word is split as a shell does.
///
/// # Errors
/// If there is not exactly one URL, or an option is unknown, has no value, or takes a part of the request from a file.
pub(super) fn parse(words: &[String]) -> anyhow::Result<CurlRequest> {
    let words = match words {
        [line] => match shlex::split(&without_continuations(line)) {
            Some(words) => words,
            None => bail!("the curl command line has a quote that is not closed"),
        },
        words => words
            .iter()
            .map(|word| (word, without_continuations(word)))
            // A pasted line continuation leaves nothing.
            .filter(|(word, text)| word == &text || !text.trim().is_empty())
            .map(|(word, text)| {
                if *word == text {
                    text
                } else {
                    text.trim().to_owned()
                }
            })
            .collect(),
    };
    let mut words = words.into_iter().peekable();
    if words
        .peek()
        .is_some_and(|word| word == "curl" || word.ends_with("/curl"))
    {
        words.next();
    }
    let mut options = Options::default();
    let mut only_urls = false;
    while let Some(word) = words.next() {
        if only_urls || !word.starts_with('-') || word == "-" {
            options.urls.push(word);
        } else if word == "--" {
            only_urls = true;
        } else if word.starts_with("--") {
            let mut value = || words.next().ok_or_else(|| missing(&word));
            options.take(&word, &mut value)?;
        } else {
            // `-sXPOST` is `-s -X POST`: flags may stand together, the last one with its value.
            let letters = word[1..].char_indices();
            for (at, letter) in letters {
                let flag = format!("-{letter}");
                let rest = &word[1 + at + letter.len_utf8()..];
                let mut took_value = false;
                let mut value = || {
                    took_value = true;
                    if rest.is_empty() {
                        words.next().ok_or_else(|| missing(&flag))
                    } else {
                        Ok(rest.to_owned())
                    }
                };
                options.take(&flag, &mut value)?;
                if took_value {
                    break;
                }
            }
        }
    }
    options.finish()
}

/// The text with a space for each line continuation.
fn without_continuations(text: &str) -> String {
    text.replace("\\\r\n", " ").replace("\\\n", " ")
}

fn missing(option: &str) -> anyhow::Error {
    anyhow::anyhow!("curl's option `{option}` has no value")
}

impl Options {
    fn take(
        &mut self,
        option: &str,
        value: &mut dyn FnMut() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        // `--no-FLAG` turns a flag off.
        let positive = option
            .strip_prefix("--no-")
            .map(|name| format!("--{name}"))
            .filter(|positive| known::is_flag(positive));
        let on = positive.is_none();
        match positive.as_deref().unwrap_or(option) {
            "-X" | "--request" => self.method = Some(value()?),
            "-H" | "--header" => self.take_header(&value()?)?,
            "-d" | "--data" | "--data-ascii" | "--data-binary" => self.add_data(&value()?, true),
            "--data-raw" => self.add_data(&value()?, false),
            "--data-urlencode" => self.add_data(&url::form_encoded(&value()?)?, false),
            "--json" => {
                self.json = true;
                self.add_data(&value()?, true);
            }
            "-F" | "--form" | "--form-string" => {
                value()?;
                self.form = true;
            }
            "-T" | "--upload-file" => self.upload = Some(value()?),
            "-G" | "--get" => self.get = on,
            "-I" | "--head" => self.head = on,
            "-A" | "--user-agent" => self.agent = Some(value()?),
            "-e" | "--referer" => self.referer = Some(value()?),
            "-u" | "--user" => {
                let mut user = value()?;
                if !user.contains(':') {
                    user.push(':');
                }
                self.user = Some(user.into_bytes());
            }
            "--oauth2-bearer" => self.scheme = Some(Scheme::Bearer(value()?)),
            "--digest" | "--anyauth" | "--negotiate" => self.scheme = Some(Scheme::AfterChallenge),
            "--ntlm" | "--ntlm-wb" => self.scheme = Some(Scheme::Named("NTLM")),
            "--aws-sigv4" => {
                value()?;
                self.scheme = Some(Scheme::Named("AWS4-HMAC-SHA256"));
            }
            "-r" | "--range" => self.range = Some(value()?),
            "-C" | "--continue-at" => {
                // `-` in a range stands for the length of a file, which is not read.
                let offset = value()?;
                self.range = (offset != "-" && offset != "0").then(|| format!("{offset}-"));
            }
            "-z" | "--time-cond" => self.time_condition = Some(value()?),
            "-b" | "--cookie" => self.cookies.push(value()?),
            "--url" => self.urls.push(value()?),
            "--url-query" => {
                let part = value()?;
                self.url_query.push(match part.strip_prefix('+') {
                    Some(encoded) => encoded.to_owned(),
                    None => url::form_encoded(&part)?,
                });
            }
            "--request-target" => self.target = Some(value()?),
            "--path-as-is" => self.path_as_is = on,
            "--compressed" => self.compressed = on,
            "-0" | "--http1.0" => self.http10 = on,
            "-K" | "--config" => {
                bail!("curl's option `{option}` names a file, and files are not read here")
            }
            "-:" | "--next" => {
                bail!("curl's option `{option}` makes several requests; hint: ask for one at a time")
            }
            ignored if known::takes_value(ignored) => {
                value()?;
            }
            ignored if known::is_flag(ignored) => {}
            _ => bail!("curl's option `{option}` is not known here"),
        }
        Ok(())
    }

    fn take_header(&mut self, header: &str) -> anyhow::Result<()> {
        if header.starts_with('@') {
            bail!("`-H {header}` names a file, and files are not read here; hint: write the headers instead");
        }
        // `Name:` omits a header of curl's own, `Name;` sends an empty one.
        if let Some((name, text)) = header.split_once(':') {
            let text = text.trim();
            self.headers
                .push((name.to_owned(), (!text.is_empty()).then(|| text.to_owned())));
        } else if let Some(name) = header.strip_suffix(';') {
            self.headers.push((name.to_owned(), Some(String::new())));
        }
        Ok(())
    }

    fn add_data(&mut self, data: &str, may_name_file: bool) {
        let first = self.body.is_none();
        let body = self.body.get_or_insert_default();
        if may_name_file && data.starts_with('@') {
            body.in_file = true;
            return;
        }
        if !first && !self.json {
            body.text.push('&');
        }
        body.text.push_str(data);
    }

    fn finish(mut self) -> anyhow::Result<CurlRequest> {
        let given = match &self.urls[..] {
            [url] => url,
            [] => bail!("the curl command line has no URL"),
            [_, _, ..] => bail!(
                "the curl command line has {} URLs; hint: ask for one at a time",
                self.urls.len()
            ),
        };
        let mut url = if given.contains("://") {
            given.clone()
        } else {
            format!("http://{given}")
        };
        if let Some(fragment) = url.find('#') {
            url.truncate(fragment);
        }
        let user = url::take_user(&mut url);
        self.user = self.user.or(user);
        if !self.path_as_is {
            url = url::without_dot_segments(&url);
        }
        if let Some(file) = &self.upload {
            url::add_file_name(&mut url, file);
        }
        for part in &self.url_query {
            url::add_query(&mut url, part);
        }
        if self.get
            && let Some(body) = self.body.take()
        {
            if body.in_file {
                bail!("with `-G` the data is part of the URL, and files are not read here");
            }
            url::add_query(&mut url, &body.text);
        }
        if let Some(target) = &self.target {
            if target == "*" {
                let names_host = |(name, _): &(String, _)| name.eq_ignore_ascii_case("host");
                if !self.headers.iter().any(names_host) {
                    let host = url::host(&url).to_owned();
                    self.headers.push(("Host".to_owned(), Some(host)));
                }
                "*".clone_into(&mut url);
            } else if target.starts_with('/') {
                url = url::with_target(&url, target);
            } else {
                bail!("the request target `{target}` is not a path; hint: give it as the URL");
            }
        }
        let implied = match () {
            () if self.head => "HEAD",
            () if self.upload.is_some() => "PUT",
            () if self.body.is_some() || self.form => "POST",
            () => "GET",
        };
        let headers = self.request_headers(matches!(implied, "GET" | "HEAD"));
        let method = self.method.unwrap_or_else(|| implied.to_owned());
        Ok(CurlRequest { method, url, headers })
    }

    /// The headers: curl's own, unless `-H` replaces or omits them, then those of `-H`.
    fn request_headers(&self, fetches: bool) -> Vec<(String, String)> {
        let mut own: Vec<(&str, String)> = Vec::new();
        if let Some(authorization) = self.authorization() {
            own.push(("Authorization", authorization));
        }
        if let Some(range) = &self.range
            && fetches
        {
            let open = if range.contains('-') { "" } else { "-" };
            own.push(("Range", format!("bytes={range}{open}")));
        }
        own.push((
            "User-Agent",
            self.agent.clone().unwrap_or_else(|| "curl/8".to_owned()),
        ));
        own.push((
            "Accept",
            if self.json {
                "application/json".to_owned()
            } else {
                "*/*".to_owned()
            },
        ));
        if self.compressed {
            own.push(("Accept-Encoding", "deflate, gzip, br, zstd".to_owned()));
        }
        if let Some(referer) = &self.referer {
            own.push(("Referer", referer.clone()));
        }
        // A value without `=` is the name of a cookie file, which is not read.
        let cookies: Vec<&str> = self
            .cookies
            .iter()
            .map(String::as_str)
            .filter(|text| text.contains('='))
            .collect();
        if !cookies.is_empty() {
            own.push(("Cookie", cookies.join("; ")));
        }
        // curl sends the time in HTTP's format; here it stays as given.
        if let Some(time) = &self.time_condition {
            own.push(match time.strip_prefix('-') {
                Some(time) => ("If-Unmodified-Since", time.to_owned()),
                None => ("If-Modified-Since", time.clone()),
            });
        }
        if let Some(body) = &self.body {
            if !body.in_file {
                own.push(("Content-Length", body.text.len().to_string()));
            }
            let kind = if self.json {
                "application/json"
            } else {
                "application/x-www-form-urlencoded"
            };
            own.push(("Content-Type", kind.to_owned()));
        } else if self.form {
            own.push(("Content-Type", "multipart/form-data".to_owned()));
        }
        let given = |name: &str| {
            self.headers
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        let own = own
            .into_iter()
            .filter(|(name, _)| !given(name))
            .map(|(name, value)| (name.to_owned(), value));
        let given = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        own.chain(given).collect()
    }

    fn authorization(&self) -> Option<String> {
        match &self.scheme {
            Some(Scheme::Bearer(token)) => Some(format!("Bearer {token}")),
            Some(Scheme::AfterChallenge) => None,
            Some(Scheme::Named(name)) => self.user.is_some().then(|| (*name).to_owned()),
            None => self
                .user
                .as_ref()
                .map(|user| format!("Basic {}", STANDARD.encode(user))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, method: &str, url: &str, headers: &[(&str, &str)]) {
        let request = parse(&[line.to_owned()]).unwrap();
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            (method, url),
            "{line}"
        );
        for (name, value) in headers {
            let found = request
                .headers
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name));
            assert_eq!(
                found.map(|(_, value)| value.as_str()),
                Some(*value),
                "{line}: {name}"
            );
        }
    }

    #[test]
    fn ordinary_command_lines() {
        check(
            "curl http://a/b?c=d",
            "GET",
            "http://a/b?c=d",
            &[("accept", "*/*")],
        );
        check("curl a/b", "GET", "http://a/b", &[]);
        check(
            "/usr/bin/curl -sSXPUT 'http://a/b' -H 'X-A:  1 '",
            "PUT",
            "http://a/b",
            &[("x-a", "1")],
        );
        check(
            "curl -d a=b -d c http://a",
            "POST",
            "http://a",
            &[("content-length", "5")],
        );
        check("curl -G -d a=b --url http://a/?x", "GET", "http://a/?x&a=b", &[]);
        check(
            "curl -I http://a -o /dev/null -b 'k=v' -b jar",
            "HEAD",
            "http://a",
            &[("cookie", "k=v")],
        );
        check(
            "curl -u user:pass http://a",
            "GET",
            "http://a",
            &[("authorization", "Basic dXNlcjpwYXNz")],
        );
        check(
            "curl --json '{}' http://a",
            "POST",
            "http://a",
            &[("content-type", "application/json")],
        );
        check("curl http://a -H 'Host: b'", "GET", "http://a", &[("host", "b")]);
    }

    #[test]
    fn curl_resolves_dots_and_drops_fragments() {
        check("curl http://a/b/../c/.#f", "GET", "http://a/c/", &[]);
        check("curl --path-as-is http://a/b/../c", "GET", "http://a/b/../c", &[]);
    }

    #[test]
    fn own_headers_can_be_omitted() {
        let request = parse(&["curl http://a -H 'Accept:' -H 'X-Empty;'".to_owned()]).unwrap();
        assert!(request.headers.iter().all(|(name, _)| name != "Accept"));
        assert!(request.headers.contains(&("X-Empty".to_owned(), String::new())));
    }

    #[test]
    fn what_cannot_be_one_request_is_refused() {
        for line in ["curl", "curl -X", "curl http://a http://b", "curl 'http://a"] {
            assert!(parse(&[line.to_owned()]).is_err(), "{line}");
        }
    }
    #[test]
    fn line_continuations_are_removed() {
        let pasted = "curl 'http://a/b' \\\n  -H 'accept: text/html' \\\r\n  --compressed";
        check(pasted, "GET", "http://a/b", &[("accept", "text/html")]);
        let words = ["curl", "http://a/b", "\\\n", "\\\n  -H", "x-a: 1"].map(str::to_owned);
        let request = parse(&words).unwrap();
        assert_eq!(request.url, "http://a/b");
        assert!(request.headers.contains(&("x-a".to_owned(), "1".to_owned())));
    }

    #[test]
    fn option_values_are_no_urls() {
        for options in [
            "-U me:secret",
            "--noproxy '*'",
            "--unix-socket /run/x",
            "--dns-servers 192.0.2.1",
            "--retry-max-time 3",
            "--socks5-hostname p:1",
            "--tlsuser me --proto =https --form-escape --no-buffer --no-progress-meter -#",
        ] {
            check(&format!("curl {options} http://a"), "GET", "http://a", &[]);
        }
    }

    #[test]
    fn options_that_make_headers() {
        let cases: &[(&str, &str, &str)] = &[
            ("-r 0-9", "range", "bytes=0-9"),
            ("-r 5", "range", "bytes=5-"),
            ("-C 7", "range", "bytes=7-"),
            ("-z 2020-01-01", "if-modified-since", "2020-01-01"),
            ("-z -2020-01-01", "if-unmodified-since", "2020-01-01"),
            ("--oauth2-bearer t", "authorization", "Bearer t"),
            ("-u me:x --aws-sigv4 aws:amz", "authorization", "AWS4-HMAC-SHA256"),
        ];
        for (options, name, value) in cases {
            check(
                &format!("curl {options} http://a"),
                "GET",
                "http://a",
                &[(name, value)],
            );
        }
        let request = parse(&["curl --digest -u me:x http://a".to_owned()]).unwrap();
        assert!(request.headers.iter().all(|(name, _)| name != "Authorization"));
    }

    #[test]
    fn a_user_in_the_url_becomes_a_header() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let cases = [
            ("curl http://u:p@foo/shops", basic("u:p")),
            ("curl u@foo/shops", basic("u:")),
            ("curl http://u%41:p%40@foo/shops", basic("uA:p@")),
            ("curl -u x:y http://u:p@foo/shops", basic("x:y")),
        ];
        for (line, value) in cases {
            check(line, "GET", "http://foo/shops", &[("authorization", &value)]);
        }
        check("curl http://foo/a@b?c@d", "GET", "http://foo/a@b?c@d", &[]);
    }

    #[test]
    fn data_is_encoded_and_files_are_not_read() {
        let cases = [
            ("'a=b c/é~:&+'", "a=b+c%2F%C3%A9~%3A%26%2B"),
            ("'=x y'", "x+y"),
            ("'x y'", "x+y"),
        ];
        for (value, sent) in cases {
            let length = sent.len().to_string();
            let line = format!("curl --data-urlencode {value} http://a/");
            check(&line, "POST", "http://a/", &[("content-length", &length)]);
            let url = format!("http://a/?{sent}");
            check(
                &format!("curl -G --data-urlencode {value} http://a"),
                "GET",
                &url,
                &[],
            );
            check(&format!("curl --url-query {value} http://a"), "GET", &url, &[]);
        }
        check("curl --url-query '+a=/' http://a/", "GET", "http://a/?a=/", &[]);
        check(
            "curl --data-raw @x http://a",
            "POST",
            "http://a",
            &[("content-length", "2")],
        );
        check(
            "curl --json '{' --json '}' http://a",
            "POST",
            "http://a",
            &[("content-length", "2")],
        );
        let request = parse(&["curl -d @file http://a".to_owned()]).unwrap();
        assert_eq!(request.method, "POST");
        assert!(request.headers.iter().all(|(name, _)| name != "Content-Length"));
    }

    #[test]
    fn the_target_may_differ_from_the_url() {
        check(
            "curl --request-target /x?y http://a/b?c",
            "GET",
            "http://a/x?y",
            &[],
        );
        check(
            "curl -X OPTIONS --request-target '*' http://a:1/b",
            "OPTIONS",
            "*",
            &[("host", "a:1")],
        );
        check(
            "curl -X OPTIONS --request-target '*' -H 'Host: b' http://a",
            "OPTIONS",
            "*",
            &[("host", "b")],
        );
        check("curl -T d/f.txt http://a/b/", "PUT", "http://a/b/f.txt", &[]);
        check("curl -T d/f.txt http://a/b", "PUT", "http://a/b", &[]);
    }

    #[test]
    fn unknown_options_are_named() {
        let cases = [
            ("curl --fly http://a", "curl's option `--fly` is not known here"),
            ("curl -s? http://a", "curl's option `-?` is not known here"),
            ("curl --no-output http://a", "`--no-output` is not known"),
            ("curl --data-urlencode a@f http://a", "files are not read"),
            ("curl -G -d @f http://a", "files are not read"),
            ("curl -H @f http://a", "files are not read"),
            ("curl -K f http://a", "files are not read"),
            ("curl http://a --next", "one at a time"),
            ("curl --request-target x http://a", "is not a path"),
        ];
        for (line, wanted) in cases {
            let error = parse(&[line.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }
}
