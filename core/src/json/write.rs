//! Writes JSON text.

use std::fmt::Write as _;

use super::{Json, Style};

impl Json<'_> {
    /// Writes it without white space.
    pub(crate) fn write(&self, style: Style, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => write_text(text, style, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(style, out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(key, style, out);
                    out.push(':');
                    value.write(style, out);
                }
                out.push('}');
            }
        }
    }
}

/// Writes a string with its quotes.
pub(crate) fn write_text(text: &str, style: Style, out: &mut String) {
    out.push('"');
    let mut rest = text;
    let escaped = |c: char| match c {
        '"' | '\\' | '\0'..='\x1f' => true,
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => style == Style::Go,
        _ => false,
    };
    while let Some(at) = rest.find(escaped) {
        out.push_str(&rest[..at]);
        let mut after = rest[at..].chars();
        match after.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) => write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes all"),
            None => {}
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
