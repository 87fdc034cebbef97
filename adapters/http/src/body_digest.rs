//! [`BodyDigest`]: what a body was, without keeping it.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::stream::unfold;
use poem::Body;
use ring::digest::{Context, SHA256};

/// The SHA-256 of a body that somebody else reads. Known once it was read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyDigest(Arc<OnceLock<String>>);

impl BodyDigest {
    /// The same body, which is digested as it is read.
    pub(crate) fn of(&self, body: Body) -> Body {
        let reading = (body.into_bytes_stream().boxed(), Context::new(&SHA256), self.clone());
        Body::from_bytes_stream(unfold(reading, |(mut pieces, mut digest, known)| async {
            let piece = pieces.next().await;
            match &piece {
                Some(Ok(bytes)) => digest.update(bytes),
                Some(Err(_)) => {}
                None => {
                    known.0.get_or_init(|| STANDARD.encode(digest.clone().finish()));
                }
            }
            piece.map(|piece| (piece, (pieces, digest, known)))
        }))
    }

    /// The digest; `None` if the body was not read to its end.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Reads a body to its end, and keeps nothing of it.
pub(crate) async fn drain(body: Body) -> std::io::Result<()> {
    let mut pieces = body.into_bytes_stream().boxed();
    while let Some(piece) = pieces.next().await {
        piece?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream::iter;

    use super::*;

    fn pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        Body::from_bytes_stream(iter::<Vec<std::io::Result<Bytes>>>(pieces))
    }

    #[tokio::test]
    async fn a_digest_is_of_the_bytes_and_not_of_their_pieces() {
        let digest = async |body: Body| {
            let digest = BodyDigest::default();
            let read = digest.of(body).into_bytes().await.expect("it is read");
            assert_eq!(read, "abc");
            digest.get().map(str::to_owned)
        };
        let expected = Some("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".to_owned());
        assert_eq!(digest(pieces(&["abc"])).await, expected);
        assert_eq!(digest(pieces(&["a", "", "bc"])).await, expected);
    }

    #[tokio::test]
    async fn nothing_is_known_of_a_body_that_was_not_read_to_its_end() {
        let digest = BodyDigest::default();
        let mut body = digest.of(pieces(&["a", "b"])).into_bytes_stream().boxed();
        body.next().await.expect("a piece").expect("it is read");
        assert_eq!(digest.get(), None);
        let broken = iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("cut off"))]);
        let digest = BodyDigest::default();
        assert!(drain(digest.of(Body::from_bytes_stream(broken))).await.is_err());
        assert_eq!(digest.get(), None);
    }
}
