//! [`Line`]: what two processes of a server tell each other while one takes the place of the other.
//!
//! The new one finds it as its standard input, with the lock and the sockets in it already. It says once how far it is; and
//! the end of the line is the end of the other process, whatever that dies of.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The lock and two sockets.
const MOST_GIVEN: usize = 3;
/// Tells this kind of line from any other input, and its version from others.
const GREETING: u8 = b'1';

/// One end.
#[derive(Debug)]
pub(super) struct Line(UnixStream);

/// What a new process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It takes requests.
    Serves,
    /// It would, if it had the data directory for itself.
    Waits,
}

/// What a new process was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) lock: OwnedFd,
    pub(super) api: TcpListener,
    pub(super) management: Option<TcpListener>,
}

impl Line {
    /// A line, and its other end.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self(UnixStream::from_std(ours)?), theirs.into()))
    }

    /// Gives away what a new process needs. The room for it is there on a line on which nothing was said yet.
    pub(super) fn give(&self, given: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_GIVEN))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(given)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.0, &[IoSlice::new(&[GREETING])], &mut control, SendFlags::empty())?;
        Ok(())
    }

    /// What the new process says; nothing if it has ended.
    pub(super) async fn hear(&mut self) -> io::Result<Option<Said>> {
        let mut word = [0];
        match self.0.read(&mut word).await {
            Ok(1) => Said::of(word[0]).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Ok(_) => Ok(None),
            // It ended with what it was given unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The end that is the standard input, and what came with it.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn of_stdin() -> io::Result<(StdStream, Given)> {
        let line = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // What is there was there before this process was.
        line.set_nonblocking(true)?;
        let given = receive(&line)?;
        Ok((line, given))
    }

    /// The end of a process with a runtime.
    pub(super) fn from_std(line: StdStream) -> io::Result<Self> {
        UnixStream::from_std(line).map(Self)
    }

    /// Says something. A process that is gone does not hear it, and needs not.
    pub(super) async fn say(&mut self, said: Said) {
        let _ = self.0.write_all(&[said.word()]).await;
    }

    /// Waits until nobody has the other end any more.
    pub(super) async fn ended(&mut self) {
        let mut nothing = [0];
        while matches!(self.0.read(&mut nothing).await, Ok(1)) {}
    }
}

impl Said {
    const fn word(self) -> u8 {
        match self {
            Self::Serves => b's',
            Self::Waits => b'w',
        }
    }

    fn of(word: u8) -> Option<Self> {
        [Self::Serves, Self::Waits].into_iter().find(|said| said.word() == word)
    }
}

fn receive(line: &StdStream) -> io::Result<Given> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_GIVEN))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut greeting = [0];
    let mut into = [IoSliceMut::new(&mut greeting)];
    let received = recvmsg(line, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let given = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(given) => given.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let mut given = given.collect::<Vec<_>>().into_iter();
    let (Some(lock), Some(api)) = (given.next(), given.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "nothing was handed over"));
    };
    if (received.bytes, greeting) != (1, [GREETING]) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another version hands over differently"));
    }
    Ok(Given { lock, api: TcpListener::from(api), management: given.next().map(TcpListener::from) })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn sockets_and_a_lock_arrive_as_what_they_are() {
        let (mut line, theirs) = Line::pair().expect("a pair");
        let lock = tempfile::tempfile().expect("a file");
        let [api, management] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("free"));
        line.give(&[lock.as_fd(), api.as_fd(), management.as_fd()]).expect("given");
        let addresses = [&api, &management].map(|socket| socket.local_addr().expect("an address"));
        drop((lock, api, management));

        let theirs = StdStream::from(theirs);
        let given = receive(&theirs).expect("it arrives");
        let management = given.management.expect("it was given");
        assert_eq!(
            [&given.api, &management].map(|socket| socket.local_addr().expect("an address")),
            addresses
        );
        TcpStream::connect(addresses[0]).expect("it was never closed");
        theirs.set_nonblocking(true).expect("set");
        let mut theirs = Line::from_std(theirs).expect("a line");
        theirs.say(Said::Waits).await;
        assert_eq!(line.hear().await.expect("a word"), Some(Said::Waits));
        drop(line);
        theirs.ended().await;
    }

    #[tokio::test]
    async fn the_end_of_a_new_process_is_heard() {
        let (mut line, theirs) = Line::pair().expect("a pair");
        line.give(&[io::stdin().as_fd(), io::stdin().as_fd()]).expect("given");
        drop(theirs);
        assert_eq!(line.hear().await.expect("an end"), None);
    }

    #[test]
    fn any_other_input_is_refused() {
        let (ours, theirs) = StdStream::pair().expect("a pair");
        io::Write::write_all(&mut &ours, b"1").expect("written");
        assert_eq!(receive(&theirs).expect_err("no sockets").kind(), io::ErrorKind::InvalidData);
    }
}
