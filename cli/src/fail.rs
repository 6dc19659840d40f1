//! Why a command did not do what was asked: one line on standard error, and an exit status.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::out;

/// Each holds its line, without a name before it or a full stop behind.
#[derive(Debug, Eq, PartialEq)]
pub enum Failure {
    /// It could not be done, or it is not known whether it was.
    Failed(String),
    /// What was asked makes no sense; nothing was done.
    Usage(String),
    /// What was asked for is not there.
    NotFound(String),
    /// Nobody reads what we write. No failure of ours, and nobody to tell.
    Unread,
}

impl Failure {
    /// Says it on standard error.
    pub fn tell(&self) -> ExitCode {
        let (line, status) = match self {
            Self::Failed(line) => (line, 1),
            Self::Usage(line) => (line, 2),
            Self::NotFound(line) => (line, 3),
            Self::Unread => return ExitCode::SUCCESS,
        };
        out::note(line);
        ExitCode::from(status)
    }

    /// The library refused what it was given before anything was sent.
    pub fn usage(error: impl ToString) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Help and version go to standard output; anything else is one line of what is wrong.
pub fn wrong_usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // Whoever closed the stream does not want to know.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    Failure::Usage(message(&error.render().to_string())).tell()
}

/// clap's message without usage and tips, in one line.
fn message(text: &str) -> String {
    let mut text = text.strip_prefix("error: ").unwrap_or(text);
    // From behind, since the value that is refused may have any lines.
    for tail in ["\n\nFor more information", "\n\nUsage:", "\n\n  tip:"] {
        text = text.rfind(tail).map_or(text, |end| &text[..end]);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_in_one_line() {
        let text = "error: the following required arguments were not provided:\n  --id <ID>\n  \
            <GROUP>\n\nUsage: portolan register --id <ID> <GROUP>\n\nFor more information\n";
        assert_eq!(
            message(text),
            "the following required arguments were not provided: --id <ID> <GROUP>"
        );
        let text = "error: invalid value 'zone,\n\n!' for '--selector <EXPR>': no key\n\n  \
            tip: no tip\n\nFor more information, try '--help'.\n";
        assert_eq!(message(text), "invalid value 'zone, !' for '--selector <EXPR>': no key");
    }
}
