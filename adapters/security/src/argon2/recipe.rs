//! One hash: the parameters that a PHC string names, and the work that they ask for.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Error, Params, Version};
use portwright_domain::password::Password;
use ring::rand::{self, SystemRandom};

use super::Cost;
use super::pool::Memory;

/// Bytes of a hash; as many as the crate itself makes.
const OUTPUT_BYTES: usize = Params::DEFAULT_OUTPUT_LEN;

/// How a hash is made.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    algorithm: Algorithm,
    version: Version,
    params: Params,
}

impl Recipe {
    /// Today's algorithm at this cost; `None` if it is out of bounds.
    pub(super) fn new(cost: Cost) -> Option<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(OUTPUT_BYTES)).ok()?;
        Self { algorithm: Algorithm::Argon2id, version: Version::V0x13, params }.within_bounds()
    }

    fn within_bounds(self) -> Option<Self> {
        let bounded =
            self.params.m_cost() <= Cost::MAX_MEMORY_KIB && self.params.t_cost() <= Cost::MAX_PASSES;
        bounded.then_some(self)
    }

    /// Whether a hash made like this is easier to guess than one of `today`. Lanes are no measure of that.
    pub(super) fn is_weaker_than(&self, today: &Self) -> bool {
        self.algorithm != today.algorithm
            || self.version != today.version
            || self.params.m_cost() < today.params.m_cost()
            || self.params.t_cost() < today.params.t_cost()
            || self.params.output_len() < today.params.output_len()
    }

    /// Does the work, in the memory that the thread keeps for it.
    pub(super) fn output(
        &self,
        password: &Password,
        salt: &Salt,
        memory: &mut Memory,
    ) -> Result<Output, Error> {
        let blocks = self.params.block_count();
        if memory.len() != blocks {
            // A hash of other parameters comes by now and then; the room that it needs is not kept.
            *memory = Memory::new();
            memory.try_reserve_exact(blocks).map_err(|_| Error::OutOfMemory)?;
            memory.resize(blocks, Block::default());
        }
        let mut output = [0; Output::MAX_LENGTH];
        let output = &mut output[..self.params.output_len().unwrap_or(OUTPUT_BYTES)];
        Argon2::new(self.algorithm, self.version, self.params.clone()).hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            output,
            memory,
        )?;
        Output::new(output).map_err(|_| Error::OutputTooShort)
    }
}

/// A hash with all that is needed to make it again.
pub(super) struct Stored {
    pub(super) recipe: Recipe,
    pub(super) salt: Salt,
    pub(super) output: Output,
}

impl Stored {
    /// Reads a PHC string; `None` if it is none of Argon2, lacks something, or would cost more than we ever spend.
    pub(super) fn parse(hash: &portwright_domain::user::PasswordHash) -> Option<Self> {
        let phc = PasswordHash::new(hash.expose()).ok()?;
        let recipe = Recipe {
            algorithm: Algorithm::try_from(phc.algorithm.as_str()).ok()?,
            version: phc.version.map(Version::try_from).transpose().ok()?.unwrap_or(Version::V0x10),
            params: Params::try_from(&phc).ok()?,
        };
        Some(Self { recipe: recipe.within_bounds()?, salt: phc.salt?, output: phc.hash? })
    }

    /// A hash that takes as long as any of this recipe, and that nobody knows a password for.
    pub(super) fn unmatchable(recipe: &Recipe) -> Option<Self> {
        let output: [u8; OUTPUT_BYTES] = rand::generate(&SystemRandom::new()).ok()?.expose();
        Some(Self { recipe: recipe.clone(), salt: Salt::generate(), output: Output::new(&output).ok()? })
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recipe { algorithm, version, params } = &self.recipe;
        PasswordHash {
            algorithm: algorithm.ident(),
            version: Some((*version).into()),
            params: ParamsString::try_from(params).map_err(|_| fmt::Error)?,
            salt: Some(self.salt),
            hash: Some(self.output),
        }
        .fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_the_memory_of_its_last_hash_and_no_more() {
        let password = Password::typed("tango-velvet-harbor-91").expect("valid");
        let mut memory = Memory::new();
        for memory_kib in [8, 256, 8] {
            let recipe = Recipe::new(Cost { memory_kib, ..Cost::NEGLIGIBLE }).expect("within bounds");
            recipe.output(&password, &Salt::generate(), &mut memory).expect("a hash");
            assert_eq!((memory.len(), memory.capacity()), (recipe.params.block_count(), memory.len()));
        }
    }
}
