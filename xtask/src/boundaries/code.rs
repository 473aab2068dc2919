//! Rust files as flat lists of tokens: no comments, no confusion with strings, and tests marked as such.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

pub struct Token {
    pub text: String,
    pub line: usize,
    pub is_word: bool,
    /// Inside an item marked `#[cfg(test)]`.
    pub is_test: bool,
}

/// The error is the line at which the file ceases to be Rust.
pub fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| error.span().start().line)?;
    let mut tokens = Vec::new();
    flatten(stream, false, &mut tokens);
    Ok(tokens)
}

/// `mod tests;` is marked in another file, and directories of tests are not marked at all.
pub fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Of a pattern such as `Pool::` or `.transaction(`, which would not parse.
pub fn words_and_marks(pattern: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut in_word = false;
    for letter in pattern.chars() {
        let continues = in_word;
        in_word = letter.is_alphanumeric() || letter == '_';
        match parts.last_mut() {
            Some(word) if continues && in_word => word.push(letter),
            _ if letter.is_whitespace() => {}
            _ => parts.push(letter.to_string()),
        }
    }
    parts
}

fn flatten(stream: TokenStream, mut is_test: bool, tokens: &mut Vec<Token>) {
    let mut in_test_item = false;
    for tree in stream {
        let (start, end) = (tree.span().start().line, tree.span().end().line);
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
                push(open.to_owned(), start, false);
                let is_mark = open == "[" && group.stream().to_string().replace(' ', "") == "cfg(test)";
                flatten(group.stream(), is_test || in_test_item, tokens);
                tokens.push(Token { text: close.to_owned(), line: end, is_word: false, is_test });
                if is_mark {
                    // `#![cfg(test)]` speaks of all that follows, `#[cfg(test)]` of one item.
                    let is_inner = tokens.iter().rev().skip_while(|token| token.text != "[").nth(1);
                    let is_inner = is_inner.is_some_and(|token| token.text == "!");
                    is_test |= is_inner;
                    in_test_item |= !is_inner;
                } else if open == "{" {
                    in_test_item = false;
                }
            }
            TokenTree::Punct(mark) => {
                push(mark.to_string(), start, false);
                if mark.as_char() == ';' {
                    in_test_item = false;
                }
            }
            TokenTree::Ident(word) => push(word.to_string(), start, true),
            TokenTree::Literal(literal) => push(literal.to_string(), start, false),
        }
    }
}
