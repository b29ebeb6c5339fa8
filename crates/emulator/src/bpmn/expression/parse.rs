//! Text to syntax tree, by recursive descent: or, and, comparison, not, value.

use serde_json::Value;

use super::{Comparison, Term};

/// Parentheses and negations deeper than this are refused, so that a model cannot overflow the stack.
const MAX_DEPTH: usize = 64;

/// Why a text is no expression of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ParseError(String);

impl ParseError {
    pub(super) fn new(reason: String) -> Self {
        Self(reason)
    }
}

pub(super) fn parse(source: &str) -> Result<Term, ParseError> {
    let tokens = tokens(source)?;
    let mut parser = Parser { source, tokens: &tokens, depth: 0 };
    let root = parser.or()?;
    match parser.tokens.first() {
        None => Ok(root),
        Some(token) => Err(parser.refuse(&format!("nothing may follow here, but {token:?} does"))),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Literal(Value),
    Compare(Comparison),
    And,
    Or,
    Not,
    Dot,
    Open,
    Close,
}

struct Parser<'a> {
    source: &'a str,
    tokens: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Term, ParseError> {
        let mut left = self.and()?;
        while self.take(&Token::Or) {
            left = Term::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Term, ParseError> {
        let mut left = self.comparison()?;
        while self.take(&Token::And) {
            left = Term::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Term, ParseError> {
        let left = self.unary()?;
        if let Some(Token::Compare(comparison)) = self.tokens.first() {
            let comparison = *comparison;
            self.tokens = &self.tokens[1..];
            return Ok(Term::Compare(comparison, Box::new(left), Box::new(self.unary()?)));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Term, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.refuse("it is nested too deeply"));
        }
        let term = if self.take(&Token::Not) {
            Term::Not(Box::new(self.unary()?))
        } else if self.take(&Token::Open) {
            let inner = self.or()?;
            if !self.take(&Token::Close) {
                return Err(self.refuse("a parenthesis is not closed"));
            }
            inner
        } else {
            self.value()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn value(&mut self) -> Result<Term, ParseError> {
        match self.next() {
            Some(Token::Literal(value)) => Ok(Term::Literal(value)),
            Some(Token::Name(name)) => {
                let mut path = vec![name];
                while self.take(&Token::Dot) {
                    match self.next() {
                        Some(Token::Name(field)) => path.push(field),
                        _ => return Err(self.refuse("a field name must follow '.'")),
                    }
                }
                if self.tokens.first() == Some(&Token::Open) {
                    return Err(self.refuse("method calls are not supported"));
                }
                Ok(Term::Path(path))
            }
            Some(token) => Err(self.refuse(&format!("a variable or a literal must stand where {token:?} is"))),
            None => Err(self.refuse("it ends too early")),
        }
    }

    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn refuse(&self, reason: &str) -> ParseError {
        ParseError::new(format!("cannot read the expression '{}': {reason}", self.source))
    }
}

fn tokens(source: &str) -> Result<Vec<Token>, ParseError> {
    let refuse = |reason: String| ParseError::new(format!("cannot read the expression '{source}': {reason}"));
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' | '"' => quoted(rest, first).ok_or_else(|| refuse("a text is not closed".into()))?,
            '0'..='9' => number(rest).map_err(&refuse)?,
            c if c.is_alphabetic() || c == '_' || c == '$' => word(rest).map_err(&refuse)?,
            _ => symbol(rest).ok_or_else(|| refuse(format!("'{first}' is not supported")))?,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, quote: char) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => text.push(characters.next()?.1),
            c if c == quote => return Some((Token::Literal(Value::String(text)), index + 1)),
            c => text.push(c),
        }
    }
    None
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let text = &rest[..length];
    serde_json::from_str::<serde_json::Number>(text)
        .map(|n| (Token::Literal(Value::Number(n)), length))
        .map_err(|_| format!("'{text}' is not a number"))
}

fn word(rest: &str) -> Result<(Token, usize), String> {
    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
    let token = match &rest[..length] {
        "true" => Token::Literal(Value::Bool(true)),
        "false" => Token::Literal(Value::Bool(false)),
        "null" => Token::Literal(Value::Null),
        reserved @ ("eq" | "ne" | "lt" | "gt" | "le" | "ge" | "and" | "or" | "not" | "empty" | "div" | "mod"
        | "instanceof") => {
            return Err(format!("the word '{reserved}' is not supported; use == != < > <= >= && || !"));
        }
        name => Token::Name(name.to_owned()),
    };
    Ok((token, length))
}

fn symbol(rest: &str) -> Option<(Token, usize)> {
    const SYMBOLS: [(&str, Token); 12] = [
        ("==", Token::Compare(Comparison::Equal)),
        ("!=", Token::Compare(Comparison::NotEqual)),
        ("<=", Token::Compare(Comparison::LessOrEqual)),
        (">=", Token::Compare(Comparison::GreaterOrEqual)),
        ("&&", Token::And),
        ("||", Token::Or),
        ("<", Token::Compare(Comparison::Less)),
        (">", Token::Compare(Comparison::Greater)),
        ("!", Token::Not),
        (".", Token::Dot),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)).map(|(text, token)| (token.clone(), text.len()))
}
