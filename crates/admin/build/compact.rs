//! Scripts and styles without comments and indentation, which a browser has no use for.

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// False if it begins inside a template, whose text it is.
    pub(crate) is_code: bool,
}

/// The place of a letter in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Code, at the top or inside `${…}` of a template; the number of braces that are open in it.
    Code(usize),
    /// Text of a template.
    Template,
}

/// The lines of a script.
pub(crate) fn compact(script: &str) -> Vec<Line> {
    let letters: Vec<char> = script.chars().collect();
    let mut states = vec![State::Code(0)];
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut is_code = true;
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let next = letters.get(at + 1).copied();
        let state = states.last_mut();
        let in_template = matches!(state, Some(State::Template));
        at += 1;
        if letter == '\n' {
            end(&mut lines, &mut line, is_code, in_template);
            is_code = !in_template;
            continue;
        }
        if in_template {
            line.push(letter);
            match (letter, next) {
                ('\\', Some(next)) => {
                    line.push(next);
                    at += 1;
                }
                ('$', Some('{')) => {
                    line.push('{');
                    at += 1;
                    states.push(State::Code(0));
                }
                ('`', _) => {
                    states.pop();
                }
                _ => {}
            }
            continue;
        }
        match (letter, next) {
            ('/', Some('/')) => at += letters[at..].iter().take_while(|letter| **letter != '\n').count(),
            ('/', Some('*')) => {
                let rest = letters[at + 1..].windows(2);
                at += 1 + rest.take_while(|pair| *pair != ['*', '/']).count() + 2;
            }
            ('"' | '\'', _) => at = quoted(&letters, at - 1, letter, &mut line),
            ('/', _) if begins_regex(&line) => at = regex(&letters, at - 1, &mut line),
            ('`', _) => {
                line.push(letter);
                states.push(State::Template);
            }
            _ => {
                let is_end = match (letter, state) {
                    ('{', Some(State::Code(open))) => {
                        *open += 1;
                        false
                    }
                    ('}', Some(State::Code(0))) => true,
                    ('}', Some(State::Code(open))) => {
                        *open -= 1;
                        false
                    }
                    _ => false,
                };
                if is_end && states.len() > 1 {
                    states.pop();
                }
                line.push(letter);
            }
        }
    }
    end(&mut lines, &mut line, is_code, false);
    lines
}

/// Ends a line. Spaces count in the text of a template alone.
fn end(lines: &mut Vec<Line>, line: &mut String, is_code: bool, in_template: bool) {
    let mut text = std::mem::take(line);
    if is_code {
        text = text.trim_start().to_owned();
    }
    if !in_template {
        text.truncate(text.trim_end().len());
    }
    if !text.is_empty() || !is_code || in_template {
        lines.push(Line { text, is_code });
    }
}

/// Copies a string with its quotes, and returns the position behind it.
fn quoted(letters: &[char], begin: usize, quote: char, line: &mut String) -> usize {
    line.push(quote);
    let mut at = begin + 1;
    while let Some(&letter) = letters.get(at) {
        line.push(letter);
        at += 1;
        if letter == '\\' {
            line.extend(letters.get(at));
            at += 1;
        } else if letter == quote {
            break;
        }
    }
    at
}

/// Copies a regular expression, and returns the position behind its last slash.
fn regex(letters: &[char], begin: usize, line: &mut String) -> usize {
    line.push('/');
    let mut at = begin + 1;
    let mut in_class = false;
    while let Some(&letter) = letters.get(at) {
        line.push(letter);
        at += 1;
        match letter {
            '\\' => {
                line.extend(letters.get(at));
                at += 1;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => break,
            _ => {}
        }
    }
    at
}

/// Returns true if a slash behind this code begins a regular expression, and is no division.
fn begins_regex(code: &str) -> bool {
    let code = code.trim_end();
    let is_word = |word: &str| {
        let before = code.strip_suffix(word).map(|before| before.chars().last());
        before.is_some_and(|last| last.is_none_or(|last| !last.is_ascii_alphanumeric()))
    };
    match code.chars().last() {
        None => true,
        Some(last) => "(,=:[!&|?{};+-*%~^<>".contains(last) || is_word("return") || is_word("typeof"),
    }
}

/// A style without comments and indentation.
pub(crate) fn compact_style(style: &str) -> String {
    let mut rest = style;
    let mut kept = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    let lines = kept.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &str) {
        let lines: Vec<String> = compact(script).into_iter().map(|line| line.text).collect();
        assert_eq!(lines.join("\n"), expected, "{script}");
    }

    #[test]
    fn comments_and_indentation_are_left_out() {
        check(
            "// a\nlet a = 1; // b\n\n  /** c\n   * d */\n  let b;\n",
            "let a = 1;\nlet b;",
        );
        check("f(/** @type {A} */ (a));", "f( (a));");
        check("/* a */", "");
        check("a = b / c; // d / e", "a = b / c;");
    }

    #[test]
    fn texts_stay_as_they_are() {
        check(r#"a = "// b /* c */ \" '";"#, r#"a = "// b /* c */ \" '";"#);
        check(
            "a = `// b\n  c ${d /* e */ + `f /* ${g}`} // h\n`;",
            "a = `// b\n  c ${d  + `f /* ${g}`} // h\n`;",
        );
        check("a = `${ {b: {}} } // c`;", "a = `${ {b: {}} } // c`;");
        check(r"a = `\`// b`; // c", r"a = `\`// b`;");
    }

    #[test]
    fn regular_expressions_are_no_comments() {
        check("a.replace(/[/*]\\/\"/g, b); // c", "a.replace(/[/*]\\/\"/g, b);");
        check("return /\\//.test(a);", "return /\\//.test(a);");
        check("a = b / c / \"d\";", "a = b / c / \"d\";");
        check("a = [/'/, /`/];", "a = [/'/, /`/];");
    }

    #[test]
    fn lines_of_templates_are_no_code() {
        let lines = compact("a = `\nimport b\n`;\nimport c");
        let code: Vec<bool> = lines.iter().map(|line| line.is_code).collect();
        assert_eq!(code, [true, false, false, true]);
    }

    #[test]
    fn styles_are_shortened() {
        assert_eq!(
            compact_style("/* a */\n.b {\n  c: d; /* e */\n}\n"),
            ".b {\nc: d;\n}\n"
        );
        assert_eq!(compact_style(".a { b: c; }\n/* d"), ".a { b: c; }\n");
    }
}
