//! Splits a Rust file into a flat list of tokens, without comments. Tokens of tests are marked.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

pub struct Token {
    pub text: String,
    pub line: usize,
    pub is_word: bool,
    /// Whether the token is inside an item with `#[cfg(test)]`.
    pub is_test: bool,
}

/// Splits the text of a Rust file into tokens. The error is the line with the first syntax error.
pub fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| error.span().start().line)?;
    let mut tokens = Vec::new();
    flatten(stream, false, &mut tokens);
    Ok(tokens)
}

/// Whether this is the path of a test: a file in a directory `tests`, a file `tests.rs`, or a file `*_tests.rs`.
pub fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// Splits a pattern such as `Pool::` or `.transaction(` into tokens. A pattern need not be complete Rust code.
pub fn pattern(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut in_word = false;
    for character in text.chars() {
        let continues = in_word;
        in_word = character.is_alphanumeric() || character == '_';
        match parts.last_mut() {
            Some(word) if continues && in_word => word.push(character),
            _ if character.is_whitespace() => {}
            _ => parts.push(character.to_string()),
        }
    }
    parts
}

/// Whether these tokens begin with a pattern.
pub fn begin_with(tokens: &[Token], pattern: &[String]) -> bool {
    tokens.len() >= pattern.len() && tokens.iter().zip(pattern).all(|(token, part)| token.text == *part)
}

fn flatten(stream: TokenStream, is_test: bool, tokens: &mut Vec<Token>) {
    let mut in_test_item = false;
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |text: String, line, is_word| {
            tokens.push(Token { text, line, is_word, is_test: is_test || in_test_item });
        };
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), line, false);
                let inside = tokens.len();
                flatten(group.stream(), is_test || in_test_item, tokens);
                let is_mark = open == "["
                    && tokens[inside..].iter().map(|token| token.text.as_str()).eq(["cfg", "(", "test", ")"]);
                let line = group.span_close().start().line;
                tokens.push(Token { text: close.to_owned(), line, is_word: false, is_test });
                // `#[cfg(test)]` applies to the item up to its closing brace or semicolon.
                in_test_item = (in_test_item || is_mark) && open != "{";
            }
            TokenTree::Punct(mark) => {
                push(mark.to_string(), line, false);
                if mark.as_char() == ';' {
                    in_test_item = false;
                }
            }
            TokenTree::Ident(word) => push(word.to_string(), line, true),
            TokenTree::Literal(literal) => push(literal.to_string(), line, false),
        }
    }
}
