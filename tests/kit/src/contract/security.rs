//! What every `PasswordHasher`, `TokenIssuer` and `Sealer` promises.
//!
//! A proof is worth what it refuses, so most checks come from the other side: somebody without the key, with another
//! one, or for another purpose.

mod password_hasher;
mod sealer;
mod token_issuer;

pub use password_hasher::{Hashers, PASSWORD_HASHER_PROMISES};
pub use sealer::{SEALER_PROMISES, Sealers};
pub use token_issuer::{Issuers, TOKEN_ISSUER_PROMISES};

/// The text with one character replaced, at every place, by one that may stand there and one that may not.
fn alterations(text: &str) -> impl Iterator<Item = String> {
    assert!(text.is_ascii(), "{text}");
    text.char_indices().flat_map(move |(at, was)| {
        ['A', 'B', '~'].into_iter().filter(move |new| *new != was).map(move |new| {
            let mut altered = text.to_owned();
            altered.replace_range(at..=at, new.encode_utf8(&mut [0; 4]));
            altered
        })
    })
}

/// Every beginning and every end of the text, and the text with something more.
fn cuts_and_extensions(text: &str) -> impl Iterator<Item = String> {
    assert!(text.is_ascii(), "{text}");
    let cuts = (1..text.len()).flat_map(move |at| [text[..at].to_owned(), text[at..].to_owned()]);
    let more = ["A", "AAAA", "=", "==", ".", ".A", " ", "\n", "\0"];
    cuts.chain(more.into_iter().flat_map(move |more| [format!("{text}{more}"), format!("{more}{text}")]))
}
