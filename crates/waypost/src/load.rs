//! Compiling texts to a generation whose tests pass.

use waypost_config::diagnostic::{Code, Diagnostic, diagnostic};
use waypost_config::{Loaded, Refused};
use waypost_plan::test_case::{ExpectedArms, TestCase};
use waypost_policy::explain::{Explanation, Question};
use waypost_proxy::generation::Generation;
use waypost_proxy::generation::KnownEndpoints;

use crate::certificates::Certificates;
use crate::certificates::watch::Watch;
use crate::source::Source;
use crate::texts::Texts;

/// A config that may be served.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) generation: Generation,
    pub(crate) warnings: Vec<Diagnostic>,
    /// The certificate files to watch once the config is active.
    pub(crate) watch: Watch,
}

/// The outcome of one test.
#[derive(Debug)]
pub(crate) struct TestResult {
    /// The position of the test.
    pub(crate) index: usize,
    /// Empty if the test passes.
    pub(crate) mismatches: Vec<Mismatch>,
    /// `None` if the request cannot be sent.
    pub(crate) explanation: Option<Explanation>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Mismatch {
    pub(crate) key: &'static str,
    pub(crate) expected: String,
    pub(crate) got: String,
}

/// Lowers the texts to a plan, with the environment of the process.
pub(crate) fn load(texts: &Texts) -> Result<Loaded, Vec<Diagnostic>> {
    load_over(texts).map_err(|refused| refused.diagnostics)
}

fn load_over(texts: &Texts) -> Result<Loaded, Refused> {
    let env = |name: &str| std::env::var(name).ok();
    waypost_config::load_over(&texts.sources, texts.kind, texts.local.as_ref(), &env)
}

/// Compiled texts, before the files that they name are read.
#[derive(Debug)]
pub(crate) struct Read {
    loaded: Loaded,
    generation: Generation,
    /// The failing tests; `None` while they wait for the files by which clients are known.
    failures: Option<Vec<Diagnostic>>,
}

impl Read {
    /// The generation, without certificates.
    pub(crate) fn generation(&self) -> &Generation {
        &self.generation
    }
}

/// Texts that cannot be compiled.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The texts have errors.
    Refused(Refused),
    /// The routes cannot be compiled.
    Uncompiled(Vec<Diagnostic>),
}

/// Compiles the texts, and runs their tests. This is the slow part of activating a config.
///
/// # Errors
/// If the texts have errors.
pub(crate) fn read(texts: &Texts) -> Result<Read, Unread> {
    let loaded = load_over(texts).map_err(Unread::Refused)?;
    let generation = compile(&loaded).map_err(Unread::Uncompiled)?;
    let failures = loaded
        .files
        .auth
        .is_empty()
        .then(|| failures(&loaded, &run_tests(&generation)));
    Ok(Read {
        loaded,
        generation,
        failures,
    })
}

/// Compiled texts with the files that they name.
#[derive(Debug)]
pub(crate) struct Secured {
    loaded: Loaded,
    generation: Generation,
    /// The failing tests; `None` while those that are about clients have not run.
    failures: Option<Vec<Diagnostic>>,
    /// The problems of the files.
    of_files: Vec<Diagnostic>,
    watch: Watch,
}

impl Secured {
    /// Runs the tests that waited for the files. An error or a failing test refuses the config.
    ///
    /// # Errors
    /// All diagnostics, failing tests among them.
    pub(crate) fn judge(self) -> Result<Checked, Vec<Diagnostic>> {
        let failures = match self.failures {
            Some(failures) => failures,
            // What they say of clients is not known without their files.
            None if self.of_files.iter().any(Diagnostic::is_error) => Vec::new(),
            None => self::failures(&self.loaded, &run_tests(&self.generation)),
        };
        let mut diagnostics = self.loaded.warnings;
        diagnostics.extend(failures);
        diagnostics.extend(self.of_files);
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Err(diagnostics);
        }
        Ok(Checked {
            generation: self.generation,
            warnings: diagnostics,
            watch: self.watch,
        })
    }

    /// As [`Secured::judge`], on a thread of its own: tests may verify passwords, which takes long on purpose.
    ///
    /// # Errors
    /// All diagnostics, failing tests among them.
    pub(crate) async fn judge_beside(self) -> Result<Checked, Vec<Diagnostic>> {
        if self.failures.is_some() {
            return self.judge();
        }
        match tokio::task::spawn_blocking(move || self.judge()).await {
            Ok(judged) => judged,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Reads the files that the texts name.
///
/// # Errors
/// All diagnostics, if the texts have errors.
pub(crate) fn secure(
    read: Result<Read, Unread>,
    texts: &Texts,
    certificates: &mut Certificates,
    source: &Source,
) -> Result<Secured, Vec<Diagnostic>> {
    let Read {
        loaded,
        generation,
        failures,
    } = read.map_err(|unread| match unread {
        Unread::Refused(refused) => {
            // An error in the text does not hide one in a file that it names.
            let in_files = certificates.check_refused(&refused, texts, source);
            let mut diagnostics = refused.diagnostics;
            diagnostics.extend(in_files);
            diagnostics
        }
        Unread::Uncompiled(diagnostics) => diagnostics,
    })?;
    let files = certificates.read(&loaded, texts, source);
    Ok(Secured {
        generation: generation.secured(files.materials),
        loaded,
        failures,
        of_files: files.diagnostics,
        watch: files.watch,
    })
}

/// Compiles the texts, runs their tests, and reads the files that they name.
///
/// # Errors
/// All diagnostics, failing tests among them.
pub(crate) fn check(
    texts: &Texts,
    certificates: &mut Certificates,
    source: &Source,
) -> Result<Checked, Vec<Diagnostic>> {
    secure(read(texts), texts, certificates, source)?.judge()
}

/// Compiles the texts and runs their tests, without the files that they name. Returns the warnings too.
///
/// # Errors
/// All diagnostics, failing tests among them.
pub(crate) fn check_texts(texts: &Texts) -> Result<(Vec<Diagnostic>, Generation), Vec<Diagnostic>> {
    let Read {
        loaded,
        generation,
        failures,
    } = read(texts).map_err(|unread| match unread {
        Unread::Refused(refused) => refused.diagnostics,
        Unread::Uncompiled(diagnostics) => diagnostics,
    })?;
    let failures = failures.unwrap_or_else(|| {
        let mut results = run_tests(&generation);
        let is_decided = |result: &TestResult| {
            let explanation = result.explanation.as_ref();
            explanation.is_none_or(|explanation| !explanation.is_undecided)
        };
        results.retain(is_decided);
        self::failures(&loaded, &results)
    });
    let mut diagnostics = loaded.warnings;
    diagnostics.extend(failures);
    match diagnostics.iter().any(Diagnostic::is_error) {
        true => Err(diagnostics),
        false => Ok((diagnostics, generation)),
    }
}

/// Compiles a plan to a generation that knows clients, as far as the files by which they are known are usable.
pub(crate) fn compile_knowing(
    loaded: &Loaded,
    texts: &Texts,
    source: &Source,
) -> Result<Generation, Vec<Diagnostic>> {
    let generation = compile(loaded)?;
    generation.know_clients(Certificates::auth_of(&loaded.plan, texts, source));
    Ok(generation)
}

/// Compiles a plan to a generation.
pub(crate) fn compile(loaded: &Loaded) -> Result<Generation, Vec<Diagnostic>> {
    Generation::compile(loaded.plan.clone()).map_err(|error| {
        let place = loaded.route_places.first().cloned();
        let message = format!("the routes cannot be compiled: {error}");
        place
            .map(|place| diagnostic(Code::BadRegex, place, message))
            .into_iter()
            .collect()
    })
}

/// Runs every test of a generation's plan.
pub(crate) fn run_tests(generation: &Generation) -> Vec<TestResult> {
    let plan = generation.plan();
    plan.tests()
        .iter()
        .enumerate()
        .map(|(index, test)| run_test(generation, index, test))
        .collect()
}

/// A diagnostic for each failing test, at its place.
pub(crate) fn failures(loaded: &Loaded, results: &[TestResult]) -> Vec<Diagnostic> {
    let failing = results.iter().filter(|result| !result.mismatches.is_empty());
    failing
        .map(|result| {
            let test = &loaded.plan.tests()[result.index];
            let mismatches: Vec<String> = result
                .mismatches
                .iter()
                .map(|Mismatch { key, expected, got }| format!("{key} is {got}, not {expected}"))
                .collect();
            let message = format!(
                "the test `{} {}` fails: {}",
                test.method,
                test.url,
                mismatches.join("; ")
            );
            diagnostic(
                Code::TestFailed,
                loaded.test_places[result.index].clone(),
                message,
            )
        })
        .collect()
}

/// The request of a test.
pub(crate) fn question(test: &TestCase) -> Question {
    Question {
        method: test.method.to_string(),
        url: test.url.to_string(),
        headers: test
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        client_ip: test.client_ip,
        listener: test.listener.as_deref().map(str::to_owned),
        all: false,
    }
}

fn run_test(generation: &Generation, index: usize, test: &TestCase) -> TestResult {
    let question = question(test);
    match generation.explain(&question, KnownEndpoints::Declared) {
        Ok(explanation) => TestResult {
            index,
            mismatches: compare(test, &explanation),
            explanation: Some(explanation),
        },
        Err(error) => TestResult {
            index,
            mismatches: vec![Mismatch {
                key: "the request",
                expected: "one that can be sent".to_owned(),
                got: error.to_string(),
            }],
            explanation: None,
        },
    }
}

/// The expectations of the test that the answer does not meet.
fn compare(test: &TestCase, explanation: &Explanation) -> Vec<Mismatch> {
    let expect = &test.expect;
    let mut mismatches = Vec::new();
    let mut same = |key: &'static str, expected: Option<String>, got: Option<String>| {
        if let Some(expected) = expected
            && got.as_deref() != Some(&expected)
        {
            let got = got.unwrap_or_else(|| "none".to_owned());
            mismatches.push(Mismatch { key, expected, got });
        }
    };
    let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    same(
        "outcome",
        owned(&expect.outcome),
        Some(explanation.outcome.as_str().to_owned()),
    );
    let route = |route: Option<&str>| route.unwrap_or("none").to_owned();
    same(
        "route",
        expect.route.as_ref().map(|expected| route(expected.as_deref())),
        Some(route(explanation.route.as_deref())),
    );
    same("service", owned(&expect.service), only_service(explanation));
    same(
        "status",
        expect.status.map(|status| status.to_string()),
        explanation.status.map(|status| status.to_string()),
    );
    same("path", owned(&expect.path), Some(explanation.path.clone()));
    same("host", owned(&expect.host), explanation.host.clone());
    same("location", owned(&expect.location), explanation.location.clone());
    let cors = explanation.cors.as_ref().is_some_and(|cors| cors.allowed);
    same(
        "cors",
        expect.cors.map(|cors| cors.to_string()),
        Some(cors.to_string()),
    );
    if let Some(expected) = &expect.arms {
        let got = arms(explanation);
        let (expected, got) = match expected {
            ExpectedArms::Named(names) => {
                let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
                names.sort();
                let weighted = got
                    .into_iter()
                    .filter(|(_, weight)| *weight > 0)
                    .map(|(name, _)| name);
                (names.join(", "), weighted.collect::<Vec<String>>().join(", "))
            }
            ExpectedArms::Weighted(weights) => {
                let mut weights: Vec<(String, u64)> = weights
                    .iter()
                    .map(|(name, weight)| (name.to_string(), *weight))
                    .collect();
                weights.sort();
                let text = |arms: &[(String, u64)]| {
                    let arms: Vec<String> = arms
                        .iter()
                        .map(|(name, weight)| format!("{name}: {weight}"))
                        .collect();
                    arms.join(", ")
                };
                (text(&weights), text(&got))
            }
        };
        same("arms", Some(expected), Some(got));
    }
    mismatches
}

/// The service that gets all traffic of the route, if one does.
fn only_service(explanation: &Explanation) -> Option<String> {
    if let Some(arms) = &explanation.arms {
        let mut weighted = arms.iter().filter(|arm| arm.weight > 0);
        return match (weighted.next(), weighted.next()) {
            (Some(arm), None) => Some(arm.service.clone()),
            (None, _) => None,
            (Some(_), Some(_)) => Some("a split of several".to_owned()),
        };
    }
    explanation.service.clone()
}

/// The arms sorted by name. A route with one service has one arm.
fn arms(explanation: &Explanation) -> Vec<(String, u64)> {
    let mut arms: Vec<(String, u64)> = match (&explanation.arms, &explanation.service) {
        (Some(arms), _) => arms.iter().map(|arm| (arm.service.clone(), arm.weight)).collect(),
        (None, Some(service)) => vec![(service.clone(), 1)],
        (None, None) => Vec::new(),
    };
    arms.sort();
    arms
}
