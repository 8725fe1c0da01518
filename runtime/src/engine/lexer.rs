//! Cuts a ClickHouse statement into tokens.
//!
//! Knows comments, string literals, quoted identifiers and heredocs as ClickHouse reads them. Does
//! not know what a statement means. Where ClickHouse's own lexer is lenient or has changed over the
//! versions (nested comments, typographic quotes, escapes in identifiers), this one refuses: a text
//! that two readers could understand differently must not pass the gate.

use std::borrow::Cow;

/// What a token is. Keywords are unquoted words: ClickHouse has no reserved ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// An unquoted identifier or keyword.
    Word(&'a str),
    /// An identifier in backticks or double quotes, without them.
    Quoted(Cow<'a, str>),
    /// A string literal or heredoc; its content never decides anything.
    Text,
    Number,
    Symbol(char),
}

#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind<'a>,
    /// Byte position of the first character.
    pub start: usize,
    /// Byte position after the last character.
    pub end: usize,
}

impl Token<'_> {
    /// Whether the token is this keyword, unquoted, in any case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// The identifier that the token is or may be.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// Why a text is no sequence of tokens, with the byte position.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {position}")]
pub(super) struct LexError {
    pub what: &'static str,
    pub position: usize,
}

/// Walks through a text token by token, so that a reader may stop where data begins.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The next token; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Token<'a>>, LexError> {
        self.skip_blanks()?;
        let start = self.position;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let kind = match first {
            b'\'' => {
                self.quoted(b'\'')?;
                Kind::Text
            }
            b'"' | b'`' => Kind::Quoted(self.quoted_identifier(first)?),
            b'$' => self.heredoc_or_word()?,
            b'0'..=b'9' => self.number()?,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => self.word(),
            b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) && !self.follows_name(start) => {
                self.number()?
            }
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b':' | b'.' | b'*' | b'+' | b'-' | b'/' | b'%'
            | b'=' | b'<' | b'>' | b'!' | b'?' | b'|' | b'^' | b'@' => {
                self.position += 1;
                Kind::Symbol(char::from(first))
            }
            _ => return Err(self.error("a character that no statement needs outside quotes")),
        };
        Ok(Some(Token { kind, start, end: self.position }))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.position + ahead).copied()
    }

    fn error(&self, what: &'static str) -> LexError {
        LexError { what, position: self.position }
    }

    /// `t.1` is element 1 of the tuple `t`, so the full stop belongs to what stands before it.
    fn follows_name(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.text.as_bytes().get(at));
        before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'"' | b'`' | b')' | b']'))
    }

    fn skip_blanks(&mut self) -> Result<(), LexError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.position += 1,
                (Some(b'-'), Some(b'-')) | (Some(b'#'), Some(b' ' | b'!')) => {
                    let rest = &self.text[self.position..];
                    self.position += rest.find('\n').map_or(rest.len(), |end| end + 1);
                }
                (Some(b'/'), Some(b'*')) => {
                    let inner = &self.text[self.position + 2..];
                    let Some(end) = inner.find("*/") else { return Err(self.error("a comment without an end")) };
                    if inner[..end].contains("/*") {
                        return Err(self.error("a comment within a comment"));
                    }
                    self.position += 2 + end + 2;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Moves past a quoted run; returns its content as it stands in the text.
    fn quoted(&mut self, quote: u8) -> Result<&'a str, LexError> {
        let bytes = self.text.as_bytes();
        let mut at = self.position + 1;
        loop {
            match bytes.get(at) {
                None => return Err(self.error("a quote without an end")),
                Some(b'\\') => at += 2,
                Some(b) if *b == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
                Some(b) if *b == quote => break,
                Some(_) => at += 1,
            }
        }
        // A quote is ASCII, so both ends are character boundaries.
        let inner = &self.text[self.position + 1..at];
        self.position = at + 1;
        Ok(inner)
    }

    fn quoted_identifier(&mut self, quote: u8) -> Result<Cow<'a, str>, LexError> {
        let start = self.position;
        let inner = self.quoted(quote)?;
        if inner.contains('\\') {
            return Err(LexError { what: "an escape in a quoted identifier", position: start });
        }
        let doubled = if quote == b'"' { ("\"\"", "\"") } else { ("``", "`") };
        Ok(if inner.contains(doubled.0) { inner.replace(doubled.0, doubled.1).into() } else { inner.into() })
    }

    fn word(&mut self) -> Kind<'a> {
        let rest = &self.text[self.position..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
        self.position += end;
        Kind::Word(&rest[..end])
    }

    /// Decimal with fraction and exponent, hexadecimal or binary; a name may not begin with a digit.
    fn number(&mut self) -> Result<Kind<'a>, LexError> {
        let start = self.position;
        let based = self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X' | b'b' | b'B'));
        if based {
            self.position += 2;
            self.skip_while(|b| b.is_ascii_hexdigit() || b == b'_');
        } else {
            self.skip_while(|b| b.is_ascii_digit() || b == b'_');
            if self.peek(0) == Some(b'.') {
                self.position += 1;
                self.skip_while(|b| b.is_ascii_digit() || b == b'_');
            }
            if matches!(self.peek(0), Some(b'e' | b'E')) {
                self.position += 1 + usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
                let digits = self.position;
                self.skip_while(|b| b.is_ascii_digit());
                if digits == self.position {
                    return Err(LexError { what: "a number with an exponent of no digits", position: start });
                }
            }
        }
        if self.peek(0).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$')) {
            return Err(LexError {
                what: "a number or name that begins with a digit (quote the name)",
                position: start,
            });
        }
        Ok(Kind::Number)
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.position += 1;
        }
    }

    fn heredoc_or_word(&mut self) -> Result<Kind<'a>, LexError> {
        let rest = &self.text[self.position..];
        let tag_end = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map(|end| end + 1);
        match tag_end {
            Some(end) if rest.as_bytes()[end] == b'$' => {
                let tag = &rest[..=end];
                let body = &rest[tag.len()..];
                let Some(close) = body.find(tag) else { return Err(self.error("a heredoc without an end")) };
                self.position += tag.len() + close + tag.len();
                Ok(Kind::Text)
            }
            _ => Err(self.error("a dollar sign that opens no heredoc")),
        }
    }
}

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, LexError> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn comments_and_literals_hide_what_they_contain() {
        assert_eq!(
            kinds("SELECT 'a''b\\'c' -- file(\n, /* url( */ `x``y`, $t$ file('a') $t$ # end"),
            [
                Kind::Word("SELECT"),
                Kind::Text,
                Kind::Symbol(','),
                Kind::Quoted("x`y".into()),
                Kind::Symbol(','),
                Kind::Text
            ]
        );
    }

    #[test]
    fn numbers_are_one_token() {
        assert_eq!(kinds("1.5e-3 .5 0x1F"), [Kind::Number, Kind::Number, Kind::Number]);
        assert_eq!(kinds("t.1"), [Kind::Word("t"), Kind::Symbol('.'), Kind::Number]);
        assert_eq!(kinds("a.b")[1], Kind::Symbol('.'));
    }

    #[test]
    fn doubtful_texts_are_refused() {
        for text in [
            "'open",
            "/* open",
            "/* a /* b */",
            "`f\\x69le`",
            "\u{201c}a\u{201d}",
            "$x",
            "$a$ open",
            "a \\G",
            "1.e+file",
            "1.file",
            "0x1g",
            "1h",
            "2024_table",
            "caf\u{e9}",
        ] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
