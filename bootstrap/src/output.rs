//! Writes to the standard streams; the only place that does.

use std::io::{self, ErrorKind, Write};

use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// Writes to the standard output. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    settle(write_to(&mut io::stdout().lock(), text))
}

/// Writes to the standard error. Nobody is left to hear of it if that fails.
pub fn complain(text: &str) {
    let _ = write_to(&mut io::stderr().lock(), text);
}

fn write_to(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

fn settle(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let problem = Problem::new(format!("cannot write to the standard output ({error})"));
            Err(Failure::new(Exit::Failed, problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure_but_a_full_disk_is() {
        assert!(settle(write_to(&mut Broken(ErrorKind::BrokenPipe), "text")).is_ok());
        let failure = settle(write_to(&mut Broken(ErrorKind::StorageFull), "text")).expect_err("fails");
        assert_eq!(failure.exit(), Exit::Failed);
    }
}
