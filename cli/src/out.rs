//! Tables and JSON on standard output, notes on standard error.

use std::fmt::Display;
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
        writeln!(io::stdout().lock(), "{text}").map_err(|error| {
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
    let _ = writeln!(io::stderr().lock(), "portolan: {line}");
}

/// Columns as wide as their widest cell, two spaces apart; without the last line's end.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<_> = header.iter().map(ToString::to_string).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&header]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    [&header].into_iter().chain(rows).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["a".to_owned(), "é".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["ID", "X"], &rows), "ID    X\na     é\nlong");
        assert_eq!(table(&["ID", "X"], &[]), "ID  X");
    }
}
