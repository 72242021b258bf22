//! Proves from the source that modules lie on floors, and that no modules depend on each other in a circle.
//!
//! A module depends on another if its code names it, in a `use` or in a path that begins with `crate::`, `super::`, `self::`
//! or the name of a child. Test code may look anywhere. A parent and its own descendants may know each other; there is no
//! other circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command;

/// The floors of each crate, from the bottom. A top-level module may know those on lower floors, and none beside it.
const FLOORS: [(&str, &[&[&str]]); 5] = [
    (
        "fleet",
        &[
            &["coverage", "pace", "store", "text"],
            &["key"],
            &["config", "record"],
            &["view"],
            &["canary", "lead", "proposal", "replica"],
        ],
    ),
    (
        "transport",
        &[
            &["clock", "date", "free_list", "permits", "sockets", "timer"],
            &["socket", "socket_file"],
            &["buffer", "listening", "proxy_protocol"],
            &["h2", "memory"],
            &["link"],
            &["relay"],
        ],
    ),
    (
        "policy",
        &[
            &[
                "failure",
                "filled",
                "key_files",
                "token_keys",
                "page_files",
                "password_files",
                "peer",
                "permissions",
                "request_id",
                "secret_names",
                "server_options",
            ],
            &["arm", "balance", "client", "grpc", "rate", "status", "step"],
            &["compiled", "error_format"],
            &["request"],
            &["forwarded"],
            &["auth", "cors", "values"],
            &["error_page"],
            &["head"],
            &["decision"],
            &["explain"],
        ],
    ),
    (
        "upstream",
        &[
            &[
                "address",
                "balance",
                "counters",
                "faults",
                "health",
                "limits",
                "response_buffers",
            ],
            &["histogram", "notice"],
            &["endpoint_counters", "pool", "retry"],
            &["endpoint"],
            &["service"],
            &["discovery", "local", "panic_mode"],
            &["opening"],
            &["connect"],
            &["lease"],
            &["call"],
            &["checks"],
        ],
    ),
    (
        "proxy",
        &[
            &["challenges", "priority", "thread"],
            &["generation", "verifier"],
            &["observe"],
            &["local"],
            &["exchange"],
            &["request"],
            &["connection"],
            &["listen"],
            &["worker"],
            &["gateway"],
            &["limits"],
        ],
    ),
];

/// Crates in which no circle is allowed.
const CRATES: [&str; 14] = [
    "acme",
    "route",
    "rollout",
    "wire",
    "tls",
    "plan",
    "auth",
    "config",
    "transport",
    "policy",
    "upstream",
    "proxy",
    "admin",
    "waypost",
];

/// Modules by their path, `a::b`, with the modules that each depends on.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The arrows that break a rule.
pub(super) fn problems() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in CRATES {
        let arrows = arrows(&sources(name)?);
        problems.extend(circles(name, &arrows));
        if let Some((_, floors)) = FLOORS.iter().find(|(known, _)| *known == name) {
            problems.extend(upwards(name, &arrows, floors));
        }
    }
    Ok(problems)
}

/// The modules of a crate with their texts. The crate's root is no module here: it only declares the others.
fn sources(name: &str) -> Result<Vec<(String, String)>> {
    let folder = command::root().join("crates").join(name).join("src");
    let mut sources = Vec::new();
    read_folder(&folder, "", &mut sources)?;
    Ok(sources)
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Vec<(String, String)>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let inside = |name: &str| match prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}::{name}"),
        };
        if path.is_dir() {
            read_folder(&path, &inside(&stem), sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = match &*stem {
                "lib" | "main" if prefix.is_empty() => continue,
                "tests" | "testing" => continue,
                "mod" => prefix.to_owned(),
                stem => inside(stem),
            };
            sources.push((module, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The modules that each of `sources` names.
fn arrows(sources: &[(String, String)]) -> Arrows {
    let known: BTreeSet<&str> = sources.iter().map(|(module, _)| &**module).collect();
    let arrows = sources.iter().map(|(module, text)| {
        let named = paths(module, &code(text), &known);
        let named = named.iter().filter_map(|path| longest_known(path, &known));
        let others = named.filter(|other| other != module).collect();
        (module.clone(), others)
    });
    arrows.collect()
}

/// The text without comments, up to its inline test module.
fn code(text: &str) -> String {
    let mut code: Vec<&str> = Vec::new();
    for line in text.lines() {
        let is_inline_module = line.starts_with("mod ") && line.ends_with('{');
        if is_inline_module && code.last() == Some(&"#[cfg(test)]") {
            break;
        }
        code.push(line.split("//").next().unwrap_or(line));
    }
    code.join("\n")
}

/// The paths that the code of `module` names, from the root of the crate. `known` are all modules of the crate.
fn paths(module: &str, code: &str, known: &BTreeSet<&str>) -> Vec<String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let mut found = Vec::new();
    for child in known.iter().filter(|other| parent(other) == module) {
        let name = child.rsplit("::").next().unwrap_or(child);
        for (at, _) in code.match_indices(&format!("{name}::")) {
            if at == 0 || !is_word(code.as_bytes()[at - 1]) {
                expand(module, &code[at..], &mut found);
            }
        }
    }
    for (root, prefix) in [("crate::", ""), ("super::", parent(module)), ("self::", module)] {
        for (at, _) in code.match_indices(root) {
            // `pub(in crate::a)` is a visibility.
            if at > 0 && is_word(code.as_bytes()[at - 1]) || code[..at].ends_with("(in ") {
                continue;
            }
            let mut prefix = prefix;
            let mut rest = &code[at + root.len()..];
            while root == "super::" && rest.starts_with("super::") {
                prefix = parent(prefix);
                rest = &rest["super::".len()..];
            }
            expand(prefix, rest, &mut found);
        }
    }
    found
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// Adds the paths that `rest` names behind `prefix`: `a::{b::C, d}` is two.
fn expand(prefix: &str, rest: &str, found: &mut Vec<String>) {
    let join = |name: &str| match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}::{name}"),
    };
    let rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (at, byte) in inside.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth > 0 => depth -= 1,
                b',' | b'}' if depth == 0 => {
                    expand(prefix, &inside[start..at], found);
                    start = at + 1;
                    if byte == b'}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    match behind.strip_prefix("::") {
        // `a::*` and `a::b::<C>` name what stands before.
        _ if name.is_empty() && rest.starts_with(['*', '<']) => found.push(prefix.to_owned()),
        _ if name.is_empty() => {}
        _ if name == "self" => found.push(prefix.to_owned()),
        Some(behind) => expand(&join(name), behind, found),
        None => found.push(join(name)),
    }
}

/// The module that a path leads to: the longest beginning of it that is one.
fn longest_known(path: &str, known: &BTreeSet<&str>) -> Option<String> {
    let mut path = path;
    while !path.is_empty() {
        if known.contains(path) {
            return Some(path.to_owned());
        }
        path = parent(path);
    }
    None
}

fn is_within(module: &str, ancestor: &str) -> bool {
    module
        .strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The circles of modules: every component but a parent with its descendants. Descendants that form a circle without their
/// parents are one too.
fn circles(name: &str, arrows: &Arrows) -> Vec<String> {
    let is_apart = |one: &str, other: &str| !is_within(one, other) && !is_within(other, one);
    let is_family = |component: &BTreeSet<&str>| {
        component
            .iter()
            .any(|head| component.iter().all(|module| is_within(module, head)))
    };
    let apart: Arrows = arrows
        .iter()
        .map(|(module, others)| {
            let others = others.iter().filter(|other| is_apart(module, other));
            (module.clone(), others.cloned().collect())
        })
        .collect();
    let mut refused: Vec<BTreeSet<&str>> = components(arrows);
    refused.retain(|component| !is_family(component));
    let hidden = components(&apart).into_iter().filter(|component| {
        let is_refused = refused.iter().any(|refused| refused.is_superset(component));
        component.len() > 1 && !is_refused
    });
    let refused: Vec<BTreeSet<&str>> = refused.iter().cloned().chain(hidden).collect();
    let problems = refused.iter().map(|component| {
        // The arrows of a parent and its child are no mistake.
        let inside = component.iter().flat_map(|module| {
            let others = arrows[*module].iter();
            let others = others.filter(|other| component.contains(&***other) && is_apart(module, other));
            others.map(move |other| format!("{module} → {other}"))
        });
        let inside: Vec<String> = inside.collect();
        format!("{name}: a circle of modules: {}", inside.join(", "))
    });
    problems.collect()
}

/// The strongly connected components: the largest sets of modules that all depend on each other.
fn components(arrows: &Arrows) -> Vec<BTreeSet<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows
        .keys()
        .map(|module| (&**module, reached_from(module, arrows)))
        .collect();
    let component_of = |module: &str| -> BTreeSet<&str> {
        let others = reached[module].iter().copied();
        others.filter(|other| reached[other].contains(module)).collect()
    };
    let components: BTreeSet<BTreeSet<&str>> = reached.keys().map(|module| component_of(module)).collect();
    components.into_iter().collect()
}

/// The module itself, and all that it depends on, directly or through others.
fn reached_from<'a>(module: &'a str, arrows: &'a Arrows) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([module]);
    let mut open = vec![module];
    while let Some(next) = open.pop() {
        for other in &arrows[next] {
            if reached.insert(other) {
                open.push(other);
            }
        }
    }
    reached
}

/// The arrows between top-level modules that do not point to a lower floor, and modules without a floor.
fn upwards(name: &str, arrows: &Arrows, floors: &[&[&str]]) -> Vec<String> {
    let floor_of = |module: &str| {
        let top = module.split("::").next().unwrap_or(module);
        let floor = floors.iter().position(|floor| floor.contains(&top));
        (top.to_owned(), floor)
    };
    let mut problems = BTreeSet::new();
    for (module, others) in arrows {
        let (top, Some(floor)) = floor_of(module) else {
            problems.insert(format!(
                "{name}: `{module}` has no floor: give it one in xtask/src/arrows/modules.rs"
            ));
            continue;
        };
        for other in others {
            let (other_top, other_floor) = floor_of(other);
            if other_top != top && other_floor.is_none_or(|other_floor| other_floor >= floor) {
                problems.insert(format!(
                    "{name}: `{module}` must not know `{other}`, which is not on a lower floor"
                ));
            }
        }
    }
    problems.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sources: &[(&str, &str)]) -> Arrows {
        let sources: Vec<(String, String)> = sources
            .iter()
            .map(|(module, text)| ((*module).to_owned(), (*text).to_owned()))
            .collect();
        arrows(&sources)
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let text =
            "use crate::a::{self, b::{C, d}, E};\nfn f() { crate::g::h(); super::i::J; }\n// crate::not\n";
        let mut found = paths("x::y", &code(text), &BTreeSet::new());
        found.sort();
        assert_eq!(found, ["a", "a::E", "a::b::C", "a::b::d", "g::h", "x::i::J"]);
    }

    #[test]
    fn a_glob_names_its_module_and_a_bare_path_a_child() {
        let text =
            "use crate::a::*;\npub(in crate::b) fn f() { y::g(); crate::c::h::<u8>(); other_y::g(); }\n";
        let known = BTreeSet::from(["x", "x::y", "y"]);
        let mut found = paths("x", &code(text), &known);
        found.sort();
        assert_eq!(found, ["a", "c::h", "x::y::g"]);
    }

    #[test]
    fn code_ends_at_an_inline_test_module_only() {
        let text =
            "#[cfg(test)]\nmod tests;\nuse crate::a;\n#[cfg(test)]\nmod more {\n    use crate::b;\n}\n";
        assert_eq!(
            code(text),
            "#[cfg(test)]\nmod tests;\nuse crate::a;\n#[cfg(test)]"
        );
    }

    #[test]
    fn circles_are_found_but_not_those_of_a_parent_with_its_children() {
        let fine = of(&[
            ("a", "use crate::a::b::C;"),
            ("a::b", "use super::D;"),
            ("c", "use crate::a::b::E;"),
        ]);
        assert_eq!(circles("x", &fine), [""; 0]);
        let bad = of(&[
            ("a::b", "use crate::c::D;"),
            ("c", "use crate::e;"),
            (
                "e",
                "use crate::a::b::E;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}",
            ),
        ]);
        assert_eq!(
            circles("x", &bad),
            ["x: a circle of modules: a::b → c, c → e, e → a::b"]
        );
    }

    #[test]
    fn circles_through_a_parent_are_found() {
        let through_parent = of(&[
            ("a", "use self::b::B;"),
            ("a::b", "use crate::c::C;"),
            ("c", "use crate::a::A;"),
        ]);
        assert_eq!(
            circles("x", &through_parent),
            ["x: a circle of modules: a::b → c, c → a"]
        );
        let of_siblings = of(&[
            ("a", "use self::b::B;"),
            ("a::b", "use super::A; use super::c::C;"),
            ("a::c", "use super::b::B;"),
        ]);
        assert_eq!(
            circles("x", &of_siblings),
            ["x: a circle of modules: a::b → a::c, a::c → a::b"]
        );
        // These siblings form a circle only through their parent.
        let family = of(&[
            ("a", "use self::b::B; use self::c::C;"),
            ("a::b", "use super::A;"),
            ("a::c", "use super::A; use super::b::B;"),
        ]);
        assert_eq!(circles("x", &family), [""; 0]);
    }

    #[test]
    fn arrows_point_to_lower_floors() {
        let arrows = of(&[
            ("low", "use crate::high::A;"),
            ("high", "use crate::low::B; use crate::beside::C;"),
            ("beside", ""),
            ("new", ""),
        ]);
        let problems = upwards("x", &arrows, &[&["low"], &["high", "beside"]]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("`high` must not know `beside`"));
        assert!(problems[1].contains("`low` must not know `high`"));
        assert!(problems[2].contains("`new` has no floor"));
    }
}
