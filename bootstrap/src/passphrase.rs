//! Makes up passwords that people can read aloud, such as `tango-velvet-harbor-cedar-piano-91`.
//!
//! Five of 1,474 words and a number from 10 to 99: 5 × 10.5 + 6.5 = 59 bits, all from the operating system. Behind
//! argon2id (some 20 ms a guess and core) that is out of reach, even for who has stolen the database.

use ring::rand::{SecureRandom, SystemRandom};

use crate::exit::Exit;
use crate::failure::{Failure, Problem};

const WORDS: &str = include_str!("../data/words.txt");
const LENGTH: usize = 5;

/// A new passphrase.
///
/// # Errors
/// `Unavailable` if the operating system has no random numbers.
pub fn generate() -> Result<String, Failure> {
    let words: Vec<&str> = WORDS.lines().collect();
    let random = SystemRandom::new();
    let mut parts = Vec::with_capacity(LENGTH + 1);
    for _ in 0..LENGTH {
        parts.push(words[below(words.len(), &random)?].to_owned());
    }
    parts.push((10 + below(90, &random)?).to_string());
    Ok(parts.join("-"))
}

/// A number from 0 to less than `bound`, each as likely as the other. `bound` is from 1 to 65,536.
fn below(bound: usize, random: &dyn SecureRandom) -> Result<usize, Failure> {
    const NUMBERS: usize = 1 << 16;
    // Above the last multiple of the bound some remainders would come once more than others.
    let fair = NUMBERS - NUMBERS % bound;
    loop {
        let mut bytes = [0; 2];
        random.fill(&mut bytes).map_err(|_| {
            let problem = Problem::new("the operating system has no random numbers");
            Failure::new(Exit::Unavailable, problem)
        })?;
        let number = usize::from(u16::from_ne_bytes(bytes));
        if number < fair {
            return Ok(number % bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use portwright_domain::password::NewPassword;

    use super::*;

    #[test]
    fn the_words_are_plain_and_enough_for_fifty_bits() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert!(words.is_sorted_by(|a, b| a < b), "sorted, and no word twice");
        assert!(
            words
                .iter()
                .all(|word| word.bytes().all(|b| b.is_ascii_lowercase()) && (3..=8).contains(&word.len()))
        );
        let possible = u128::from(90_u8) * (words.len() as u128).pow(5);
        assert!(possible > 1 << 58, "the module says 59 bits, rounded");
    }

    #[test]
    fn a_passphrase_is_five_words_and_a_number_and_a_password_that_may_be_chosen() {
        let words: HashSet<&str> = WORDS.lines().collect();
        let passphrases: HashSet<String> = (0..200).map(|_| generate().expect("random numbers")).collect();
        assert_eq!(passphrases.len(), 200);
        for passphrase in &passphrases {
            let parts: Vec<&str> = passphrase.split('-').collect();
            assert_eq!(parts.len(), 6, "{passphrase}");
            assert!(parts[..5].iter().all(|word| words.contains(word)), "{passphrase}");
            assert!((10..=99).contains(&parts[5].parse::<u8>().expect("a number")), "{passphrase}");
            assert!(NewPassword::parse(passphrase).is_ok(), "{passphrase}");
        }
    }

    #[test]
    fn every_number_below_the_bound_comes_up() {
        let random = SystemRandom::new();
        let seen: HashSet<usize> = (0..2_000).map(|_| below(10, &random).expect("random numbers")).collect();
        assert_eq!(seen, (0..10).collect());
        assert_eq!(below(1, &random), Ok(0));
    }
}
