//! One module of all modules of the dashboard: each in a scope of its own, behind those that it imports.
//!
//! A browser would ask for more than a hundred small files, which compress badly. The sources run as they are, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::compact::{Line, compact};

/// Modules that stay as they were published.
const VENDOR: &str = "vendor/";

/// The module that has everything that `entry` needs. `modules` are the texts by path, such as `src/main.js`.
///
/// # Errors
/// A module is missing, two import each other, or one is written in a way that is not known here.
pub(crate) fn bundle(entry: &str, modules: &BTreeMap<String, String>) -> Result<String, String> {
    let mut bundler = Bundler {
        modules,
        entry,
        found: Vec::new(),
        under_way: Vec::new(),
        vendored: Vec::new(),
        text: String::new(),
    };
    bundler.add(entry)?;
    let mut whole = String::new();
    for (at, path) in bundler.vendored.iter().enumerate() {
        let _ = writeln!(whole, "import * as v{at} from \"{}\";", relative(entry, path));
    }
    whole.push_str(&bundler.text);
    Ok(whole)
}

struct Bundler<'a> {
    modules: &'a BTreeMap<String, String>,
    entry: &'a str,
    /// Paths of modules that are in the text, by number.
    found: Vec<String>,
    /// Paths of modules that wait for what they import.
    under_way: Vec<String>,
    /// Paths of vendored modules, by number.
    vendored: Vec<String>,
    text: String,
}

impl Bundler<'_> {
    /// Adds a module and all that it imports, and returns the name of what it exports.
    fn add(&mut self, path: &str) -> Result<String, String> {
        if path.starts_with(VENDOR) {
            let known = self.vendored.iter().position(|known| known == path);
            let at = known.unwrap_or_else(|| {
                self.vendored.push(path.to_owned());
                self.vendored.len() - 1
            });
            return Ok(format!("v{at}"));
        }
        if let Some(at) = self.found.iter().position(|known| known == path) {
            return Ok(format!("m{at}"));
        }
        if self.under_way.iter().any(|known| known == path) {
            return Err(format!("`{path}` imports itself: {}", self.under_way.join(", ")));
        }
        let text = self
            .modules
            .get(path)
            .ok_or_else(|| format!("there is no module `{path}`"))?;
        self.under_way.push(path.to_owned());
        let scope = self
            .scope(path, &compact(text))
            .map_err(|error| match error.contains('`') {
                true => error,
                false => format!("`{path}`: {error}"),
            })?;
        self.under_way.pop();
        let name = format!("m{}", self.found.len());
        self.found.push(path.to_owned());
        let _ = match path == self.entry {
            true => writeln!(self.text, "{scope}"),
            false => writeln!(self.text, "const {name}=(()=>{{\n{scope}}})();"),
        };
        Ok(name)
    }

    /// The lines of a module as the body of a function that returns what the module exports.
    fn scope(&mut self, path: &str, lines: &[Line]) -> Result<String, String> {
        let mut body = String::new();
        let mut exports = Vec::new();
        let mut lines = lines.iter();
        while let Some(line) = lines.next() {
            let is_statement = |word: &str| {
                let rest = line.text.strip_prefix(word);
                line.is_code && rest.is_some_and(|rest| rest.starts_with([' ', '{', '*', '"']))
            };
            let is_reexport = is_statement("export")
                && line.text.contains('{')
                && !line.text.contains('=')
                && line
                    .text
                    .trim_start_matches("export")
                    .trim_start()
                    .starts_with('{');
            if is_statement("import") || is_reexport {
                let mut statement = line.text.clone();
                while !statement.ends_with(';') {
                    let next = lines.next().ok_or("an import has no end")?;
                    statement.push(' ');
                    statement.push_str(&next.text);
                }
                self.link(path, &statement, &mut body, &mut exports)?;
            } else if is_statement("export") {
                let declared = line.text["export".len()..].trim_start();
                exports.push(declared_name(declared)?);
                body.push_str(&self.deferred(path, declared)?);
                body.push('\n');
            } else {
                match line.is_code {
                    true => body.push_str(&self.deferred(path, &line.text)?),
                    false => body.push_str(&line.text),
                }
                body.push('\n');
            }
        }
        if !exports.is_empty() {
            let _ = writeln!(body, "return{{{}}}", exports.join(","));
        }
        Ok(body)
    }

    /// A line of code whose imports at run time, of vendored modules alone, are those of the one module.
    fn deferred(&self, path: &str, line: &str) -> Result<String, String> {
        const CALL: &str = "import(\"";
        let mut parts = line.split(CALL);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (target, rest) = part.split_once('"').ok_or("an import has no end")?;
            let target = resolved(path, target);
            if !target.starts_with(VENDOR) {
                return Err(format!("`{path}` imports `{target}` at run time"));
            }
            let _ = write!(text, "{CALL}{}\"{rest}", relative(self.entry, &target));
        }
        Ok(text)
    }

    /// Takes over an import, or an export from another module.
    fn link(
        &mut self,
        path: &str,
        statement: &str,
        body: &mut String,
        exports: &mut Vec<String>,
    ) -> Result<(), String> {
        let unknown = || format!("`{path}`: `{statement}` is not known here");
        let mut quoted = statement.split('"');
        let names = quoted.next().unwrap_or_default();
        let Some(target) = quoted.next() else {
            // An export of nothing makes a module of a file that has types alone.
            return match statement {
                "export {};" => Ok(()),
                _ => Err(unknown()),
            };
        };
        let module = self.add(&resolved(path, target))?;
        let is_import = names.starts_with("import");
        let names = names["import".len()..].trim().trim_end_matches("from").trim();
        let braced = names.strip_prefix('{').and_then(|names| names.strip_suffix('}'));
        let pairs: Option<Vec<(&str, &str)>> = braced.map(|names| {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            names
                .map(|name| name.split_once(" as ").unwrap_or((name, name)))
                .collect()
        });
        match (is_import, pairs) {
            (true, Some(pairs)) => {
                let pairs: Vec<String> = pairs
                    .into_iter()
                    .map(|(theirs, own)| match theirs == own {
                        true => own.to_owned(),
                        false => format!("{theirs}:{own}"),
                    })
                    .collect();
                let _ = writeln!(body, "const{{{}}}={module};", pairs.join(","));
            }
            (true, None) if names.is_empty() => {}
            (true, None) => match names.strip_prefix("* as ") {
                Some(own) => {
                    let _ = writeln!(body, "const {own}={module};");
                }
                None if is_name(names) => {
                    let _ = writeln!(body, "const {names}={module}.default;");
                }
                None => return Err(unknown()),
            },
            (false, Some(pairs)) => {
                exports.extend(
                    pairs
                        .into_iter()
                        .map(|(theirs, own)| format!("{own}:{module}.{theirs}")),
                );
            }
            (false, None) => return Err(unknown()),
        }
        Ok(())
    }
}

/// The name that a declaration declares.
fn declared_name(declared: &str) -> Result<String, String> {
    let rest = ["const ", "function ", "async function ", "class "]
        .iter()
        .find_map(|word| declared.strip_prefix(word));
    let name = rest.map(|rest| {
        rest.split(|letter: char| !is_letter(letter))
            .next()
            .unwrap_or_default()
    });
    match name {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        // A variable that changes would be seen by others as it was.
        _ => Err(format!("`export {declared}` is not known here")),
    }
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '$'
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_letter)
}

/// The path that `target` means in the module at `base`.
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

/// The way from the module at `base` to the file at `path`.
fn relative(base: &str, path: &str) -> String {
    format!("{}{path}", "../".repeat(base.matches('/').count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundled(modules: &[(&str, &str)]) -> Result<String, String> {
        let modules = modules
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        bundle("src/main.js", &modules.collect())
    }

    #[test]
    fn modules_stand_behind_those_that_they_import() {
        let text = bundled(&[
            (
                "src/main.js",
                "import { b as c, d } from \"./a/b.js\";\nimport * as e from \"./e.js\";\nc(d, e.f);\n",
            ),
            (
                "src/a/b.js",
                "import { f } from \"../e.js\";\nimport x from \"../../vendor/x.js\";\nexport const b = f(x);\nexport async function d() {}\nfunction own() {}\n",
            ),
            (
                "src/e.js",
                "export function f() {}\nexport { y, z as w } from \"../vendor/x.js\";\n",
            ),
        ]);
        let expected = "import * as v0 from \"../vendor/x.js\";\n\
            const m0=(()=>{\nfunction f() {}\nreturn{f,y:v0.y,w:v0.z}\n})();\n\
            const m1=(()=>{\nconst{f}=m0;\nconst x=v0.default;\nconst b = f(x);\nasync function d() {}\nfunction own() {}\nreturn{b,d}\n})();\n\
            const{b:c,d}=m1;\nconst e=m0;\nc(d, e.f);\n\n";
        assert_eq!(text.unwrap(), expected);
    }

    #[test]
    fn imports_may_take_several_lines() {
        let text = bundled(&[
            ("src/main.js", "import {\n  a,\n  b,\n} from \"./a.js\";\na(b);\n"),
            ("src/a.js", "export const a = 1;\nexport const b = 2;\n"),
        ]);
        assert!(text.unwrap().contains("const{a,b}=m0;"));
    }

    #[test]
    fn vendored_modules_may_come_later() {
        let text = bundled(&[
            ("src/main.js", "import { a } from \"./a/b.js\";\na();\n"),
            (
                "src/a/b.js",
                "export const a = () => import(\"../../vendor/x.js\").then(f);\n",
            ),
        ]);
        let text = text.unwrap();
        assert!(
            text.contains("const a = () => import(\"../vendor/x.js\").then(f);"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let check = |text: &str, expected: &str| {
            let error =
                bundled(&[("src/main.js", text), ("src/a.js", "import \"./main.js\";\n")]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("import { a } from \"./b.js\";\n", "no module `src/b.js`");
        check("import(\"./a.js\");\n", "at run time");
        check("import \"./a.js\";\n", "imports itself");
        check("export let a = 1;\n", "not known here");
        check("export default 1;\n", "not known here");
        check("export * from \"../vendor/x.js\";\n", "not known here");
        check("import a, { b } from \"../vendor/x.js\";\n", "not known here");
    }
}
