//! [`Noise`]: chance that is the same in every run, so that what it found once can be found again.

/// A xorshift generator (Marsaglia, 2003).
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// The same seed, the same noise.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // A state of zero would stay zero; odd times odd is odd.
        Self(seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Any byte.
    pub const fn byte(&mut self) -> u8 {
        self.number().to_be_bytes()[0]
    }

    /// From 0 up to, and without, `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap_or(0)
    }

    /// One of several, of which there is one at least.
    pub fn one_of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.below(several.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_noise_again_and_another_seed_other_noise() {
        let sample = |seed| {
            let mut noise = Noise::new(seed);
            [(); 8].map(|()| noise.number())
        };
        assert_eq!(sample(0), sample(0));
        assert_ne!(sample(0), sample(1));
    }

    #[test]
    fn every_number_below_a_bound_comes_up() {
        let mut noise = Noise::new(7);
        let mut seen = [false; 10];
        (0..1000).for_each(|_| seen[noise.below(10)] = true);
        assert_eq!(seen, [true; 10]);
    }
}
