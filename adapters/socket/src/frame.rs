//! Frames: a length of four bytes, then so many bytes.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame: an exchange that settles 32 jobs with the largest results and their neighbours.
const LONGEST: usize = 64 * 1024 * 1024;

/// A message as a frame.
pub(crate) fn pack(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let packed = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    seal(packed)
}

fn seal(mut frame: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = frame.len() - 4;
    let length = u32::try_from(length).ok().filter(|_| length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The bytes of the next message; `None` where the other end has closed.
pub(crate) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32_le().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LONGEST {
        return Err(io::Error::other("the message is too long"));
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// What the bytes mean.
pub(crate) fn unpack<T: DeserializeOwned>(message: &[u8]) -> io::Result<T> {
    postcard::from_bytes(message).map_err(io::Error::other)
}

/// Writes frames as they come, several at once where several wait, until there are no more senders.
pub(crate) async fn send_all(
    mut frames: tokio::sync::mpsc::Receiver<Vec<u8>>,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut waiting = Vec::new();
    while frames.recv_many(&mut waiting, 64).await > 0 {
        // One system call for all of them: at load, the calls cost more than the bytes.
        let bytes = match waiting.len() {
            1 => waiting.swap_remove(0),
            _ => waiting.concat(),
        };
        waiting.clear();
        to.write_all(&bytes).await?;
        to.flush().await?;
    }
    Ok(())
}
