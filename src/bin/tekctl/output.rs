//! How a command ends: one document or lines for people on stdout, the rest on stderr, an exit code.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use tekd::service::control::{ControlError, Exit};

/// What a command that worked has to say.
pub(crate) struct Outcome {
    /// [`Exit::Ok`], or [`Exit::Degraded`] if a stated property does not hold.
    pub(crate) exit: Exit,
    /// For programs; absent if the command wrote its lines itself.
    pub(crate) document: Option<Value>,
    /// For people, without a last newline.
    pub(crate) text: String,
    /// For people, on stderr.
    pub(crate) notes: Vec<String>,
}

impl fmt::Debug for Outcome {
    // no-trace: documents and lines may hold codes and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome").field("exit", &self.exit).finish_non_exhaustive()
    }
}

impl Outcome {
    /// It worked, and this is the result.
    pub(crate) fn new(document: Value, text: impl Into<String>) -> Self {
        Self { exit: Exit::Ok, document: Some(document), text: text.into(), notes: Vec::new() }
    }

    /// It worked, and the lines are written already.
    pub(crate) fn written() -> Self {
        Self { exit: Exit::Ok, document: None, text: String::new(), notes: Vec::new() }
    }
}

/// Why a command did not work.
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    document: Option<Value>,
    text: String,
}

impl fmt::Debug for Failure {
    // no-trace: documents and lines may hold codes and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("exit", &self.exit)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Failure {
    /// What is told on stderr.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What is told on stdout, as lines.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What is told on stdout, either way.
    pub(crate) fn shown(&self) -> (Value, &str) {
        (self.document.clone().unwrap_or_default(), &self.text)
    }
}

impl Failure {
    fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), document: None, text: String::new() }
    }

    /// It did not work: exit code 1.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command makes no sense: exit code 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Nobody answered: exit code 3.
    pub(crate) fn unreachable(message: impl Display) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    /// With this exit code.
    pub(crate) fn exiting(exit: Exit, message: impl Display) -> Self {
        Self::new(exit, message)
    }

    /// There is a document about it nevertheless, and lines that say the same.
    pub(crate) fn with(self, document: Value, text: impl Into<String>) -> Self {
        Self { document: Some(document), text: text.into(), ..self }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        Self::new(error.exit(), error)
    }
}

/// How a command ends.
pub(crate) type Done = Result<Outcome, Failure>;

/// Prints how a command ended and gives the exit code.
pub(crate) fn finish(done: Done, json: bool) -> ExitCode {
    let (exit, document, text, notes) = match done {
        Ok(o) => (o.exit, o.document, o.text, o.notes),
        Err(f) => {
            // A program that reads stdout finds a document there in any case.
            let document = f.document.unwrap_or_else(|| failure_document(f.exit, &f.message));
            (f.exit, Some(document), f.text, vec![format!("tekctl: {}", f.message)])
        }
    };
    let printed = match (json, document) {
        (true, Some(document)) => say(&document.to_string()),
        (false, _) if !text.is_empty() => say(&text),
        _ => Ok(()),
    };
    for note in notes {
        // Nobody is left to tell if stderr is gone.
        let _ = writeln!(io::stderr(), "{note}");
    }
    match printed {
        // Who closed the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "tekctl: writing to stdout: {error}");
            Exit::Failed.into()
        }
        _ => exit.into(),
    }
}

fn failure_document(exit: Exit, message: &str) -> Value {
    json!({ "error": message, "exit": u8::from(exit) })
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Prints why the command line was not understood, or the help that was asked for.
pub(crate) fn misused(error: &clap::Error, json: bool) -> ExitCode {
    // Nobody is left to tell if the stream is gone.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Ok.into();
    }
    if json {
        let message = error.to_string();
        let message = message.trim().trim_start_matches("error: ");
        let _ = say(&failure_document(Exit::Usage, message).to_string());
    }
    Exit::Usage.into()
}
