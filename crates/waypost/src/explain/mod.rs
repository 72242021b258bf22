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
#[cfg(feature = "tui")]
pub(crate) use text::in_words;

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

/// The question of a line: a method, a URL and `-H 'name: value'`, or a curl command line.
#[cfg(feature = "tui")]
pub(crate) fn question_of(line: &str) -> anyhow::Result<Question> {
    let Some(words) = shlex::split(line) else {
        bail!("there is a quote that is not closed")
    };
    let mut question = Question {
        method: String::new(),
        url: String::new(),
        headers: Vec::new(),
        client_ip: None,
        listener: None,
        all: false,
    };
    if words.first().is_some_and(|word| word == "curl") {
        let command = curl::parse(&words)?;
        (question.method, question.url, question.headers) = (command.method, command.url, command.headers);
        return Ok(question);
    }
    let mut places = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match &*word {
            "-H" | "--header" => {
                let value = words.next().unwrap_or_default();
                question.headers.push(header(&value)?);
            }
            _ => places.push(word),
        }
    }
    match <[String; 2]>::try_from(places) {
        Ok([method, url]) => (question.method, question.url) = (method, url),
        Err(places) => match <[String; 1]>::try_from(places) {
            Ok([url]) if url.contains('/') => (question.method, question.url) = ("GET".to_owned(), url),
            _ => bail!("a request is a method and a URL, such as `GET http://example.com/path`"),
        },
    }
    Ok(question)
}

/// A header of an argument.
fn header(argument: &str) -> anyhow::Result<(String, String)> {
    // The name of a pseudo-header, such as `:protocol`, begins with a colon.
    let colon = argument.get(1..).and_then(|rest| rest.find(':'));
    let Some((name, value)) = colon.map(|at| (&argument[..=at], &argument[at + 2..])) else {
        bail!("`-H '{argument}'` is not a header; hint: write it as `-H 'name: value'`");
    };
    Ok((name.to_owned(), value.trim().to_owned()))
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
    for argument in &arguments.headers {
        question.headers.push(header(argument)?);
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
