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

/// Whether a pattern occurs anywhere in these tokens.
pub fn contain(tokens: &[Token], text: &str) -> bool {
    let pattern = pattern(text);
    (0..tokens.len()).any(|at| begin_with(&tokens[at..], &pattern))
}

/// The index of the token that closes the group that `tokens[open]` opens. A `<` opens a group as well.
pub fn close(tokens: &[Token], open: usize) -> usize {
    let text = |at: usize| tokens[at].text.as_str();
    let (opens, closes): (&[&str], &[&str]) = match text(open) {
        "<" => (&["<"], &[">"]),
        _ => (&["(", "{", "["], &[")", "}", "]"]),
    };
    let mut depth = 0_usize;
    for at in open..tokens.len() {
        if opens.contains(&text(at)) {
            depth += 1;
        } else if closes.contains(&text(at)) && !(text(at) == ">" && text(at - 1) == "-") {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len()
}

/// The signature of a function, and its body, which is empty for a method that a trait only declares.
pub struct Function<'t> {
    pub name: &'t str,
    pub line: usize,
    pub parameters: &'t [Token],
    /// The tokens between the parameters and the body: `-> Type`.
    pub output: &'t [Token],
    pub body: &'t [Token],
}

/// Returns the functions among these tokens, including those in blocks.
pub fn functions(tokens: &[Token]) -> Vec<Function<'_>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let function = |at: usize| {
        let after_name = if text(at + 2) == "<" { close(tokens, at + 2) + 1 } else { at + 2 };
        if text(at) != "fn" || text(after_name) != "(" {
            return None;
        }
        let end = close(tokens, after_name);
        let mut body = end + 1;
        while !["{", ";", ""].contains(&text(body)) {
            body = if ["(", "["].contains(&text(body)) { close(tokens, body) } else { body } + 1;
        }
        let last = if text(body) == "{" { close(tokens, body) } else { body };
        Some(Function {
            name: &tokens[at + 1].text,
            line: tokens[at + 1].line,
            parameters: &tokens[after_name + 1..end],
            output: &tokens[end + 1..body.min(tokens.len())],
            body: tokens.get(body + 1..last).unwrap_or_default(),
        })
    };
    (0..tokens.len()).filter_map(function).collect()
}

/// Returns the blocks that follow a keyword such as `impl`: the line, the tokens between the keyword and the block, and
/// the tokens of the block.
pub fn blocks<'t>(tokens: &'t [Token], keyword: &str) -> Vec<(usize, &'t [Token], &'t [Token])> {
    let begins = tokens.iter().enumerate().filter(|(_, token)| token.is_word && token.text == keyword);
    let block = |(at, token): (usize, &Token)| {
        let open = (at..tokens.len()).find(|open| tokens[*open].text == "{")?;
        Some((token.line, &tokens[at + 1..open], &tokens[open + 1..close(tokens, open)]))
    };
    begins.filter_map(block).collect()
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
