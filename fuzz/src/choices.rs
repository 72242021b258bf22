//! Choices derived from the fuzzer's bytes, to build structured input.

/// A source of choices, one byte each. Once the bytes are used up, it returns the first option.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices derived from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns true if bytes are left.
    pub fn are_left(&self) -> bool {
        !self.0.is_empty()
    }

    /// A number in `0..end`, where `1 <= end <= 256`.
    pub fn below(&mut self, end: usize) -> usize {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(byte) % end
    }

    /// One of `options`.
    pub fn one_of<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }
}
