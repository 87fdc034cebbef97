//! Where passwords come from: the standard input. Never the command line, which every user of the machine can see.

use std::io::{IsTerminal, Read, Stdin, stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::config::Secret;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::output;

const MOST_BYTES: u64 = 4096;

/// All of the standard input.
pub(super) fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    stdin().lock().take(MOST_BYTES).read_to_string(&mut text).map_err(|error| cannot_read(&error))?;
    Ok(without_break(&text))
}

/// A line of a person who is asked, and whose keys are not shown; all of the standard input where nobody is there.
///
/// Whoever drops this gives up asking.
pub(super) async fn ask(question: &str) -> Result<Secret, Failure> {
    if !stdin().is_terminal() {
        return from_stdin();
    }
    // Before anybody is asked: this drops what was typed before, and the beginning of a fast answer with it.
    let unseen = Unseen::begin();
    output::complain(question);
    let line = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        stdin().read_line(&mut text).map(|_| text)
    });
    let text = match line.await {
        Ok(read) => read.map_err(|error| cannot_read(&error))?,
        Err(error) => return Err(cannot_read(&error.into())),
    };
    drop(unseen);
    output::complain("\n");
    Ok(without_break(&text))
}

/// The line break is the shell's, or the terminal's; everything else is the password's.
fn without_break(text: &str) -> Secret {
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    Secret::new(text.to_owned())
}

fn cannot_read(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Usage, Problem::new(format!("cannot read the password ({error})")))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen {
    terminal: Stdin,
    before: Termios,
}

impl Unseen {
    /// `None` if the terminal cannot do that.
    fn begin() -> Option<Self> {
        let terminal = stdin();
        let before = tcgetattr(&terminal).ok()?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &unseen).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Nobody is left to hear of it if that fails.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
