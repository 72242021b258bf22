//! Choices made by bytes: the fuzzer's way to build things that are more than text.

/// Bytes that are used up choice by choice. When they are used up, the first option is taken.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices made by `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there are bytes left.
    pub fn are_left(&self) -> bool {
        !self.0.is_empty()
    }

    /// A number from 0 up to but not including `end`, which is at most 256 and not 0.
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
