//! [`Wire`]: the socket as hyper sees it, with nothing on it that would hold us up or deceive us.
//!
//! It hands on one checked request head at a time, then the body that the head announced: the first head when a small body
//! is there with it, so that no request is begun for who is too slow to send one. A head that is refused is
//! replaced by a harmless one, and the reason is kept beside it: so the refusal is answered like every other request,
//! in its turn and with all that the layers above add, and it is the last one of the connection.
//!
//! After chunks there is no next head, because finding it would take a second parser of chunks that agrees with
//! hyper's; the server closes such a connection after its answer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::ServerLimits;
use super::head::{self, Framing, Refusal};

/// What hyper reads in place of a refused head.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// Bytes asked of the socket at a time while a head is awaited, or the body of the first.
const HEAD_READ: usize = 4096;

/// The bytes of a first body that are here before its request begins. A request that has begun and waits for its client costs
/// several times as many.
const HELD_BODY: usize = 16 * 1024;

/// What comes next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// Chunks, to the end of the connection.
    Chunks,
    /// Whatever follows a refused head.
    Rubbish,
}

/// A socket under [`ServerLimits`].
pub(super) struct Wire<S> {
    socket: S,
    limits: ServerLimits,
    expected: Expected,
    /// Came from the socket, and was not handed on yet.
    received: BytesMut,
    /// The first bytes of `received` that may be handed on.
    released: usize,
    /// The first bytes of `received` that are known not to hold the end of a head.
    seen: usize,
    /// The bytes after the head that were announced and come unasked, up to [`HELD_BODY`].
    held: usize,
    refusal: Arc<OnceLock<Refusal>>,
    /// Runs while a head is awaited: the first from the start, a later one from its first byte.
    head_due: Option<Pin<Box<Sleep>>>,
    /// Runs while the client does not take what is written.
    write_due: Option<Pin<Box<Sleep>>>,
    /// Runs once our side of the connection is closed.
    linger_due: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(socket: S, limits: ServerLimits) -> Self {
        Self {
            socket,
            limits,
            expected: Expected::Head,
            received: BytesMut::new(),
            released: 0,
            seen: 0,
            held: 0,
            refusal: Arc::default(),
            head_due: Some(Box::pin(sleep(limits.head_timeout))),
            write_due: None,
            linger_due: None,
        }
    }

    /// Where the refusal shows. It does before hyper reads the substitute, and not before hyper has dispatched all
    /// that came earlier.
    pub(super) fn refusal(&self) -> Arc<OnceLock<Refusal>> {
        Arc::clone(&self.refusal)
    }

    /// Waits for the first head, or for what stands for one that is refused. `false` if the connection ended before, or was
    /// silent for too long: whoever says nothing should cost no more than this.
    pub(super) async fn first_head(&mut self) -> bool {
        poll_fn(|cx| self.poll_head(cx)).await.is_ok() && self.released > 0
    }

    /// Waits for the body of the first request, or for its first bytes if it is large, so that whoever drips it costs a buffer
    /// of that size and not all that a handler needs. A body that is too slow is refused; its request is handed on as it is,
    /// and so has its name in the log.
    ///
    /// A body in chunks is not waited for, nor one that wants to be asked for, nor that of a later request: its time is also
    /// hyper's, see [`Self::poll_head_due`].
    pub(super) async fn first_body(&mut self) {
        let whole = self.released + self.held;
        let begun = Instant::now();
        while self.received.len() < whole {
            let (received, waited) = (self.received.len() - self.released, begun.elapsed());
            let left = self.limits.route.deadline.saturating_sub(waited);
            let patience = self.limits.body_patience(received as u64, waited).min(left);
            match timeout(patience, poll_fn(|cx| self.poll_receive(cx))).await {
                Ok(Ok(1..)) => {}
                // That the connection has ended is also what hyper will see.
                Ok(_) => return,
                Err(_elapsed) => {
                    let _ = self.refusal.set(Refusal::BodyTooSlow);
                    self.expected = Expected::Rubbish;
                    return;
                }
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        // It is set once: after a refusal no head is expected any more.
        let _ = self.refusal.set(refusal);
        self.received.clear();
        self.received.extend_from_slice(SUBSTITUTE);
        self.released = SUBSTITUTE.len();
        self.expected = Expected::Rubbish;
        self.head_due = None;
    }

    /// Waits for a head and releases it or its substitute; releases nothing if the connection ended.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(end) = head::end(&self.received, self.seen) {
                self.head_due = None;
                self.seen = 0;
                match head::check(&self.received[..end], &self.limits) {
                    Ok(framing) => {
                        self.released = end;
                        (self.expected, self.held) = match framing {
                            Framing::Length(0) | Framing::Asked(0) => (Expected::Head, 0),
                            Framing::Length(length) => (
                                Expected::Body(length),
                                usize::try_from(length).unwrap_or(HELD_BODY).min(HELD_BODY),
                            ),
                            Framing::Asked(length) => (Expected::Body(length), 0),
                            Framing::Chunked => (Expected::Chunks, 0),
                        };
                    }
                    Err(refusal) => self.refuse(refusal),
                }
                return Poll::Ready(Ok(()));
            }
            self.seen = self.received.len();
            if let Some(refusal) = head::overlong(&self.received, &self.limits) {
                self.refuse(refusal);
                return Poll::Ready(Ok(()));
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_head_due(cx),
            }
        }
    }

    /// Between requests the time is hyper's to measure, because only it knows when an answer is done.
    fn poll_head_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head_due.is_none() && self.received.is_empty() {
            return Poll::Pending;
        }
        ready!(poll_due(&mut self.head_due, self.limits.head_timeout, cx));
        if self.received.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.refuse(Refusal::TooSlow);
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0; HEAD_READ];
        let count = ready!(self.poll_socket(cx, &mut space))?;
        self.received.extend_from_slice(&space[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads and forgets; ready when the client has ended the connection.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; HEAD_READ];
        while ready!(self.poll_socket(cx, &mut space))? > 0 {}
        Poll::Ready(Ok(()))
    }

    fn poll_write_progress(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.write_due = None;
            return written;
        }
        ready!(poll_due(&mut self.write_due, self.limits.write_timeout, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

fn poll_due(due: &mut Option<Pin<Box<Sleep>>>, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
    due.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        loop {
            if wire.released > 0 {
                let count = wire.released.min(buffer.remaining());
                buffer.put_slice(&wire.received.split_to(count));
                wire.released -= count;
                return Poll::Ready(Ok(()));
            }
            match wire.expected {
                Expected::Head | Expected::Body(0) => {
                    wire.expected = Expected::Head;
                    ready!(wire.poll_head(cx))?;
                    if wire.released == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Expected::Body(left) if !wire.received.is_empty() => {
                    wire.released = usize::try_from(left).unwrap_or(usize::MAX).min(wire.received.len());
                    wire.expected = Expected::Body(left - wire.released as u64);
                }
                Expected::Body(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.remaining());
                    let count = ready!(wire.poll_socket(cx, buffer.initialize_unfilled_to(count)))?;
                    buffer.advance(count);
                    wire.expected = Expected::Body(left - count as u64);
                    return Poll::Ready(Ok(()));
                }
                Expected::Chunks if !wire.received.is_empty() => wire.released = wire.received.len(),
                Expected::Chunks => return Pin::new(&mut wire.socket).poll_read(cx, buffer),
                Expected::Rubbish => return wire.poll_discard(cx),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.poll_write_progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.poll_write_progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// A socket that is closed with unread bytes resets the connection, and the last answer may be lost with it. So
    /// where the client may still be sending, we read on for a while.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_due.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        }
        if matches!(self.expected, Expected::Head | Expected::Body(0)) {
            return Poll::Ready(Ok(()));
        }
        let linger = self.limits.linger;
        if poll_due(&mut self.linger_due, linger, cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_discard(cx)
    }
}
