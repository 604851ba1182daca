//! Rust code as a flat list of tokens, so that no rule stumbles over a comment or a string.

use std::iter::Peekable;
use std::str::FromStr;

use proc_macro2::{Delimiter, LexError, Span, TokenStream, TokenTree};

/// A word, a punctuation character, a bracket or a literal.
#[derive(Debug, PartialEq)]
pub(super) struct Token {
    /// As written; a literal with its quotes.
    pub(super) text: String,
    /// From 1.
    pub(super) line: usize,
}

/// The tokens of Rust code. Ordinary comments are left out; doc comments become attributes.
pub(super) fn tokens(code: &str) -> Result<Vec<Token>, LexError> {
    let mut tokens = Vec::new();
    flatten(TokenStream::from_str(code)?, &mut tokens);
    Ok(tokens)
}

/// The lines where `pattern` begins, given as tokens separated by spaces.
pub(super) fn find(tokens: &[Token], pattern: &str) -> Vec<usize> {
    let words: Vec<_> = pattern.split(' ').collect();
    tokens
        .windows(words.len())
        .filter(|window| matches(window, &words))
        .filter_map(|window| window.first())
        .map(|token| token.line)
        .collect()
}

/// The tokens without items marked `#[cfg(test)]`.
pub(super) fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let marker: Vec<_> = "# [ cfg ( test ) ]".split(' ').collect();
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        kept.push(token);
        let marked = kept.len().checked_sub(marker.len());
        if let Some(start) = marked
            && kept.get(start..).is_some_and(|end| matches(end, &marker))
        {
            kept.truncate(start);
            skip_item(&mut rest);
        }
    }
    kept
}

/// Advances past the end of an item: its closing brace, its semicolon, or both.
fn skip_item(tokens: &mut Peekable<impl Iterator<Item = Token>>) {
    let mut depth = 0_usize;
    while let Some(token) = tokens.next() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
            // `use a::{b, c};` has both.
            tokens.next_if(|next| next.text == ";");
            return;
        }
    }
}

fn matches(tokens: &[Token], words: &[&str]) -> bool {
    tokens.iter().map(|token| token.text.as_str()).eq(words.iter().copied())
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let TokenTree::Group(group) = tree else {
            push(tree.to_string(), tree.span(), tokens);
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        push(open.to_owned(), group.span_open(), tokens);
        flatten(group.stream(), tokens);
        push(close.to_owned(), group.span_close(), tokens);
    }
}

fn push(text: String, span: Span, tokens: &mut Vec<Token>) {
    let line = span.start().line;
    tokens.push(Token { text, line });
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn lex(code: &str) -> Vec<Token> {
        tokens(code).expect("the test's code is Rust")
    }

    #[rstest]
    #[case::code("let a = 1;\nb.unwrap();", &[2])]
    #[case::spread_over_lines("b\n    .unwrap(\n)", &[2])]
    #[case::comment("// b.unwrap()", &[])]
    #[case::doc_comment("/// b.unwrap()\nfn f() {}", &[])]
    #[case::string("f(\"b.unwrap()\")", &[])]
    #[case::raw_string("f(r#\"b\n.unwrap()\"#)", &[])]
    #[case::longer_name("b.unwrap_or(1)", &[])]
    fn a_pattern_is_found_in_code_only(#[case] code: &str, #[case] expected: &[usize]) {
        assert_eq!(find(&lex(code), ". unwrap ( )"), expected);
    }

    #[rstest]
    #[case::module("#[cfg(test)] mod tests { fn f() { g(); } } fn h() {}", "fn h() {}")]
    #[case::file("#[cfg(test)] mod tests; fn h() {}", "fn h() {}")]
    #[case::import("#[cfg(test)] use a::{b, c}; fn h() {}", "fn h() {}")]
    #[case::array("#[cfg(test)] const A: [u8; 2] = [0; 2]; fn h() {}", "fn h() {}")]
    #[case::more_attributes("#[cfg(test)] #[path(a)] fn f(a: u8) {} fn h() {}", "fn h() {}")]
    #[case::twice("#[cfg(test)] fn f() {} #[cfg(test)] fn g() {} fn h() {}", "fn h() {}")]
    #[case::other_condition("#[cfg(not(test))] fn f() {}", "#[cfg(not(test))] fn f() {}")]
    fn items_for_tests_are_left_out(#[case] code: &str, #[case] expected: &str) {
        let texts =
            |tokens: Vec<Token>| tokens.into_iter().map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(texts(without_tests(lex(code))), texts(lex(expected)));
    }
}
