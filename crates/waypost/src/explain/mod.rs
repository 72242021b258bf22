//! `waypost explain`: the route that takes a request, and the reasons why the others do not.

mod curl;
mod log;
mod text;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::bail;
use waypost_admin::command::RequestView;
use waypost_policy::explain::Question;
use waypost_proxy::generation::Generation;
use waypost_proxy::generation::KnownEndpoints;
use waypost_wire::token;

use crate::certificates::Certificates;
use crate::cli::{DEFAULT_PATH, Explain, Format};
use crate::source::Source;
use crate::{Outcome, load, output};

pub(crate) use text::in_short;

/// The request that a command line of curl sends.
///
/// # Errors
/// It is not one request, or not known as a whole.
pub(crate) fn read_curl(line: String) -> anyhow::Result<RequestView> {
    let request = curl::parse(&[line])?;
    Ok(RequestView {
        method: request.method,
        url: request.url,
        headers: request.headers,
    })
}

/// Explains a request or an access log.
pub(crate) fn explain(arguments: &Explain) -> anyhow::Result<Outcome> {
    let (path, question) = question(arguments)?;
    let source = Source::at(&path);
    let texts = source.read_once()?;
    let compiled = load::load(&texts).and_then(|loaded| {
        let generation = load::compile(&loaded)?;
        // Certificates decide about 421. Those that cannot be read are taken to cover every host.
        let materials = Certificates::default().read(&loaded, &texts, &source).materials;
        Ok(generation.secured(materials))
    });
    let generation = match compiled {
        Ok(generation) => generation,
        Err(diagnostics) => {
            // Standard output is for the explanation, in text or JSON.
            anstream::eprint!(
                "{}",
                output::render(&diagnostics, &texts, output::stderr_has_colors())
            );
            return Ok(Outcome::Bad);
        }
    };
    if let Some(file) = &arguments.log {
        return log::explain(&generation, file, arguments);
    }
    let Some(question) = question else {
        bail!("there is no request to explain")
    };
    print(&generation, &question, arguments.format)
}

fn print(generation: &Generation, question: &Question, format: Format) -> anyhow::Result<Outcome> {
    let explanation = generation.explain(question, KnownEndpoints::Declared)?;
    match format {
        Format::Text => output::print(&text::in_words(question, &explanation))?,
        Format::Json => {
            output::print_json(&explanation)?;
        }
    }
    // An explanation succeeds whatever the outcome of the request.
    Ok(Outcome::Good)
}

/// The config and the request of the arguments.
fn question(arguments: &Explain) -> anyhow::Result<(PathBuf, Option<Question>)> {
    let default = || PathBuf::from(DEFAULT_PATH);
    let mut question = Question {
        method: String::new(),
        url: String::new(),
        headers: Vec::new(),
        client_ip: arguments.client_ip,
        listener: arguments.listener.clone(),
        all: arguments.all,
    };
    for header in &arguments.headers {
        // The name of a pseudo-header, such as `:protocol`, begins with a colon.
        let colon = header.get(1..).and_then(|rest| rest.find(':'));
        let Some((name, value)) = colon.map(|at| (&header[..=at], &header[at + 2..])) else {
            bail!("`-H '{header}'` is not a header; hint: write it as `-H 'name: value'`");
        };
        question.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let without_request = arguments.log.is_some() || arguments.curl.is_some();
    let path = match &arguments.request[..] {
        [] if without_request => default(),
        [path] if without_request => PathBuf::from(path),
        [config, url] if !without_request && is_no_method(config) => bail!(
            "the method is missing; hint: waypost explain {} GET {}",
            shell_word(config),
            shell_word(url)
        ),
        [method, url] if !without_request => {
            (question.method, question.url) = (method.clone(), url.clone());
            default()
        }
        [path, method, url] if !without_request => {
            (question.method, question.url) = (method.clone(), url.clone());
            PathBuf::from(path)
        }
        _ => bail!(
            "a request is a method and a URL; hint: waypost explain [CONFIG] GET http://example.com/path"
        ),
    };
    if let Some(words) = &arguments.curl {
        let command = curl::parse(words)?;
        (question.method, question.url, question.headers) = (command.method, command.url, command.headers);
    }
    Ok((path, arguments.log.is_none().then_some(question)))
}

/// Returns true if a word in the position of the method was meant as the config.
fn is_no_method(word: &str) -> bool {
    let path = Path::new(word);
    let is_named_so = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_named_so || !token::is_token(word.as_bytes()) || path.exists()
}

/// The word, quoted for a shell where necessary.
fn shell_word(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}
