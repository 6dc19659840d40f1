//! Tables and JSON on standard output, notes on standard error.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::fail::Failure;

/// How what was found is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: one object per line.
    Json,
}

/// Standard output in one format.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    pub format: Format,
}

/// Something that is a line of a table, or an object.
pub trait Row: Serialize {
    const HEADER: &'static [&'static str];

    /// As many as there are headers.
    fn cells(&self) -> Vec<String>;
}

impl Out {
    /// All rows: a table with its header, or an object each.
    pub fn rows<R: Row>(self, rows: &[R]) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let cells: Vec<_> = rows.iter().map(R::cells).collect();
                self.text(table(R::HEADER, &cells))
            }
            Format::Json => rows.iter().try_for_each(|row| self.object(row)),
        }
    }

    /// One thing: a line of text, or an object.
    pub fn one(self, text: impl Display, object: &impl Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(text),
            Format::Json => self.object(object),
        }
    }

    fn object(self, object: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(object)
            .map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))?;
        self.text(text)
    }

    fn text(self, text: impl Display) -> Result<(), Failure> {
        writeln!(io::stdout().lock(), "{}", seen(&text.to_string())).map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Failure::Unread;
            }
            Failure::Failed(format!("cannot write to standard output: {error}"))
        })
    }
}

/// Says one line on standard error, whatever is in it.
pub fn note(line: impl Display) {
    let line = line.to_string().replace(char::is_control, " ");
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr().lock(), "portolan: {}", seen(&line));
}

/// Makes seen what others wrote and terminals would obey, hide, or turn around: as `\u202e`, so that
/// JSON stays the same document. Ends of lines stay.
fn seen(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && (c.is_control() || unseen(c)) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A string takes all.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// What the library takes in no label: Unicode's class Cf, and its ends of lines.
fn unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Columns as wide as their widest cell, two spaces apart; without the last line's end.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<_> = header.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<_>> =
        rows.iter().map(|row| row.iter().map(|cell| seen(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&header]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    [&header].into_iter().chain(&rows).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["a".to_owned(), "é".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["ID", "X"], &rows), "ID    X\na     é\nlong");
        assert_eq!(table(&["ID", "X"], &[]), "ID  X");
        let rows = [vec!["a\u{202e}".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["ID", "X"], &rows), "ID       X\na\\u202e  1");
    }

    #[test]
    fn nothing_is_hidden() {
        let cases = [
            ("a\nb é 漢", "a\nb é 漢"),
            ("\u{1b}[2J\u{7f}\u{9b}\r", "\\u001b[2J\\u007f\\u009b\\u000d"),
            ("\"\u{202e}\u{e0041}\"", "\"\\u202e\\udb40\\udc41\""),
        ];
        for (text, expected) in cases {
            assert_eq!(seen(text), expected, "{text:?}");
            assert_eq!(seen(expected), expected, "{text:?}");
        }
    }

    /// One rule for what is taken and for what is shown.
    #[test]
    fn what_is_shown_as_it_is_may_be_in_labels() {
        let group = portolan::GroupName::parse("web").expect("a name");
        let id = portolan::InstanceId::parse("web-1").expect("a name");
        for c in ('\u{20}'..'\u{30000}').chain('\u{e0000}'..'\u{e0200}') {
            let builder = portolan::Instance::builder(group.clone(), id.clone());
            let taken = builder.label("a", c.to_string()).build().is_ok();
            assert_eq!(taken, seen(&c.to_string()) == c.to_string(), "{c:?}");
        }
    }
}
