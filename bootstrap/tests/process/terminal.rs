//! [`Terminal`]: a pseudo-terminal, with a person in front of it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::place::PATIENCE;

/// The end of a terminal that a person has.
pub(crate) struct Terminal {
    keyboard: File,
    screen: watch::Receiver<String>,
}

impl Terminal {
    /// Runs a command with all its standard streams on a terminal.
    pub(crate) fn run(mut command: Command) -> (Self, Child) {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&controller).expect("granted");
        unlockpt(&controller).expect("unlocked");
        let name = ptsname(&controller, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let line = OpenOptions::new().read(true).write(true).open(name).expect("the other end");
        let stream = || Stdio::from(line.try_clone().expect("a descriptor"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("it runs");

        let keyboard = File::from(controller);
        let mut output = keyboard.try_clone().expect("a descriptor");
        let (sender, screen) = watch::channel(String::new());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            let mut all = Vec::new();
            // When the last process at the other end is gone, reading fails.
            while let Ok(count) = output.read(&mut bytes) {
                all.extend_from_slice(&bytes[..count]);
                sender.send_replace(String::from_utf8_lossy(&all).replace('\r', ""));
            }
        });
        (Self { keyboard, screen }, child)
    }

    pub(crate) fn type_line(&mut self, text: &str) {
        self.keyboard.write_all(format!("{text}\n").as_bytes()).expect("typed");
    }

    /// Waits until this is on the screen; everything that is there.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let mut screen = self.screen.clone();
        match timeout(PATIENCE, screen.wait_for(|screen| screen.contains(text))).await {
            Ok(Ok(screen)) => screen.clone(),
            _ => panic!("{text} is not in\n{}", *self.screen.borrow()),
        }
    }

    /// Waits until nothing more can come; everything that was ever there.
    pub(crate) async fn left(mut self) -> String {
        while timeout(PATIENCE, self.screen.changed()).await.expect("the last process ends").is_ok() {}
        self.screen.borrow().clone()
    }
}
