//! Checks that docs/ERRORS.md names every error code of the api.
//!
//! A code is the argument `code` of a function that has such a parameter of type `&'static str`, the member `code` of a
//! struct or of JSON, or the word of a variant of an enum of codes.

use std::collections::BTreeSet;

use crate::code::{self, Token};
use crate::sources::Source;

pub const ERRORS: &str = "docs/ERRORS.md";
/// The parameter of a function that takes a code.
const CODE: &str = "code: &'static str";
/// The enums whose words are error codes or codes of messages, in snake case.
const ENUMS: [&str; 2] = ["FaultKind", "MessageCode"];

/// Returns the missing entries, and the problems whose code cannot be found.
pub fn missing(code: &[Source], table: &str) -> Vec<String> {
    let is_api = |source: &&Source| source.path.starts_with("api/src/") && !code::is_test_file(&source.path);
    let makers: Vec<Maker> = code.iter().filter(is_api).flat_map(makers).collect();
    let domain = code.iter().filter(|source| source.path.starts_with("domain/src/"));
    let (mut codes, mut mistakes) = (BTreeSet::from_iter(domain.flat_map(enum_words)), Vec::new());
    for source in code.iter().filter(is_api) {
        codes.extend(members(&source.tokens));
        for (at, value) in made(source, &makers) {
            match codes_of(source, at, value) {
                Some(found) => codes.extend(found),
                None => mistakes.push(format!(
                    "{}:{}: the code of this problem cannot be found, and so not compared with {ERRORS}: write it as a \
                     literal",
                    source.path, source.tokens[at].line
                )),
            }
        }
    }
    let unlisted = codes.iter().filter(|code| !table.contains(&format!("`{code}`")));
    mistakes.extend(unlisted.map(|code| format!("{ERRORS}: does not name the error code `{code}`: add a row")));
    mistakes
}

/// A function or closure that takes a code.
struct Maker {
    /// The tokens of a call, such as `Problem::new(`.
    call: Vec<String>,
    /// The position of the code among the arguments.
    position: usize,
    /// The only file in which the call means this function.
    file: Option<String>,
}

impl Maker {
    fn is_called(&self, source: &Source, at: usize) -> bool {
        let is_definition = at > 0 && source.tokens[at - 1].text == "fn";
        self.file.as_ref().is_none_or(|file| *file == source.path)
            && !is_definition
            && code::begin_with(&source.tokens[at..], &self.call)
    }
}

/// The functions and closures of a file that take a code.
fn makers(source: &Source) -> Vec<Maker> {
    let typed = code::pattern(CODE);
    let position = |parameters: &[Token]| {
        let parameters = code::parts(parameters).into_iter().filter(|parameter| !code::contain(parameter, "self"));
        parameters.enumerate().find(|(_, parameter)| code::begin_with(parameter, &typed)).map(|(position, _)| position)
    };
    let (mut makers, mut methods) = (Vec::new(), BTreeSet::new());
    let mut add = |call: &str, position, file| makers.push(Maker { call: code::pattern(call), position, file });
    for (_, head, block) in code::blocks(&source.tokens, "impl") {
        let of = head.iter().rfind(|token| token.is_word).map_or("", |token| token.text.as_str());
        for function in code::functions(block) {
            let Some(position) = position(function.parameters) else { continue };
            methods.insert((function.line, function.name));
            add(&format!("{of}::{}(", function.name), position, None);
            add(&format!("Self::{}(", function.name), position, Some(source.path.clone()));
            add(&format!(".{}(", function.name), position, None);
        }
    }
    for function in code::functions(&source.tokens) {
        let position = position(function.parameters).filter(|_| !methods.contains(&(function.line, function.name)));
        position.into_iter().for_each(|position| add(&format!("{}(", function.name), position, None));
    }
    for (at, token) in source.tokens.iter().enumerate() {
        // A closure: `let unavailable = |code, content| …`.
        let text = |ahead: usize| source.tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        if token.text == "let" && text(2) == "=" && text(3) == "|" {
            let rest = &source.tokens[at + 4..];
            let length = rest.iter().take_while(|token| token.text != "|").count();
            let position = code::parts(&rest[..length]).into_iter().position(|parameter| parameter[0].text == "code");
            position
                .into_iter()
                .for_each(|position| add(&format!("{}(", text(1)), position, Some(source.path.clone())));
        }
    }
    makers
}

/// The expressions that become the code of a problem, each with the position of the problem.
fn made<'s>(source: &'s Source, makers: &[Maker]) -> Vec<(usize, &'s [Token])> {
    let tokens = &source.tokens;
    let problem = code::pattern("Problem {");
    let mut found = Vec::new();
    for at in (0..tokens.len()).filter(|at| !tokens[*at].is_test) {
        let inside = |open: usize| code::parts(&tokens[open + 1..code::close(tokens, open)]);
        if let Some(maker) = makers.iter().find(|maker| maker.is_called(source, at)) {
            let open = at + maker.call.len() - 1;
            found.extend(inside(open).get(maker.position).map(|value| (at, *value)));
        } else if code::begin_with(&tokens[at..], &problem) {
            let member = inside(at + 1).into_iter().find(|part| part[0].text == "code");
            found.extend(member.map(|member| (at, member.get(2..).unwrap_or(member))));
        }
    }
    found
}

/// The codes that an expression may have. It is part of the code at the position `at`.
fn codes_of(source: &Source, at: usize, value: &[Token]) -> Option<BTreeSet<String>> {
    let literals: BTreeSet<String> = value.iter().filter_map(|token| error_code(&token.text)).collect();
    let from_elsewhere = Some(BTreeSet::new());
    if !literals.is_empty() {
        return Some(literals);
    }
    match value {
        [word] if word.is_word => {
            // The variable is bound in the function around the expression.
            let function = (0..at).rfind(|at| source.tokens[*at].text == "fn")?;
            let (tokens, typed) = (&source.tokens[..at], code::pattern(CODE));
            let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
            let is_binding = |at: &usize| {
                let is_parameter = text(at - 1) == "|" || code::begin_with(&tokens[*at..], &typed);
                text(*at) == word.text && (is_parameter || text(at - 1) == "let")
            };
            let binding = (function + 1..at).rfind(is_binding)?;
            match text(binding - 1) {
                "let" => {
                    let value = tokens[binding + 1..].iter().take_while(|token| token.text != ";").count();
                    codes_of(source, binding, &tokens[binding + 1..][..value])
                }
                // The code is a parameter, and each call of the function has its own expression.
                _ => from_elsewhere.filter(|_| word.text == "code"),
            }
        }
        // The code of another problem.
        [.., dot, member] if dot.text == "." && member.text == "code" => from_elsewhere,
        _ => from_elsewhere.filter(|_| {
            code::contain(value, ".into_str()") && ENUMS.iter().any(|name| code::contain(&source.tokens, name))
        }),
    }
}

/// The codes of members: `code: "gone"` of a struct, `"code": "gone"` of the macro `json!`, and `"code":"gone"` inside a
/// literal.
fn members(tokens: &[Token]) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_test) {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        if ["code", "\"code\""].contains(&text(0)) && text(1) == ":" {
            codes.extend(error_code(text(2)));
        }
        let written = token.text.split("\"code\\\":\\\"").skip(1).filter_map(|rest| rest.split('\\').next());
        codes.extend(written.map(str::to_owned));
    }
    codes
}

/// The words of the variants of the [`ENUMS`] that a file defines.
fn enum_words(source: &Source) -> BTreeSet<String> {
    let enums = code::blocks(&source.tokens, "enum").into_iter();
    let enums = enums.filter(|(_, head, _)| head.first().is_some_and(|name| ENUMS.contains(&name.text.as_str())));
    let variants = enums.flat_map(|(_, _, block)| code::parts(block));
    variants.filter_map(word_of).collect()
}

/// The word of a variant: the text of `#[strum(serialize = "…")]`, or the name in snake case.
fn word_of(variant: &[Token]) -> Option<String> {
    let serialize = code::pattern("serialize =");
    let given = (0..variant.len()).find(|at| code::begin_with(&variant[*at..], &serialize));
    if let Some(at) = given {
        return error_code(&variant.get(at + 2)?.text);
    }
    let mut at = 0;
    while variant.get(at)?.text == "#" {
        at = code::close(variant, at + 1) + 1;
    }
    let snake = |(index, letter): (usize, char)| {
        let underscore = (index > 0 && letter.is_uppercase()).then_some('_');
        underscore.into_iter().chain(letter.to_lowercase())
    };
    Some(variant[at].text.chars().enumerate().flat_map(snake).collect())
}

/// The value of a literal such as `"checkout_not_ready"`.
fn error_code(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_code = !text.is_empty() && text.chars().all(|character| character.is_ascii_lowercase() || character == '_');
    is_code.then(|| text.to_owned())
}

#[cfg(test)]
#[path = "error_codes_tests.rs"]
mod tests;
