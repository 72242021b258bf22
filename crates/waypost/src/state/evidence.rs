//! The evidence of a judge, as text. A judge has more than a thousand numbers, and most of them are zero.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// Numbers in a chunk, for each of which one bit says whether it is there.
const CHUNK: usize = 8;

/// The numbers of a judge, to the last bit: their count, then for each chunk of them a byte that says which are not zero, and
/// those, all in Base64.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredEvidence(String);

impl StoredEvidence {
    pub(crate) fn of(numbers: &[f64]) -> Self {
        let mut bytes = Vec::with_capacity(numbers.len());
        bytes.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
        for chunk in numbers.chunks(CHUNK) {
            let mask = bytes.len();
            bytes.push(0);
            for (at, number) in chunk.iter().enumerate() {
                if number.to_bits() != 0 {
                    bytes[mask] |= 1 << at;
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        Self(STANDARD_NO_PAD.encode(bytes))
    }

    /// The numbers; `None` if the text is something else.
    pub(crate) fn numbers(&self) -> Option<Vec<f64>> {
        let bytes = STANDARD_NO_PAD.decode(&self.0).ok()?;
        let (count, mut rest) = bytes.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) as usize;
        // A chunk takes a byte at least, so the length is no larger than the text allows.
        if count.div_ceil(CHUNK) > rest.len() {
            return None;
        }
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            let (mask, after) = rest.split_first()?;
            rest = after;
            for at in 0..CHUNK.min(count - numbers.len()) {
                let is_there = mask & (1 << at) != 0;
                numbers.push(match is_there {
                    true => {
                        let (number, after) = rest.split_first_chunk()?;
                        rest = after;
                        f64::from_le_bytes(*number)
                    }
                    false => 0.0,
                });
            }
        }
        rest.is_empty().then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_to_the_last_bit() {
        let check = |numbers: &[f64]| {
            let json = serde_json::to_string(&StoredEvidence::of(numbers)).unwrap();
            let stored: StoredEvidence = serde_json::from_str(&json).unwrap();
            let read = stored.numbers().unwrap();
            let bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&read), bits(numbers));
        };
        check(&[]);
        check(&[0.0; 8]);
        check(&[0.0; 9]);
        check(&[
            f64::NEG_INFINITY,
            -0.0,
            0.1,
            0.0,
            f64::MIN_POSITIVE,
            1e300,
            -5.5,
            0.0,
            std::f64::consts::PI,
        ]);
        let sparse: Vec<f64> = (0..1500_u32)
            .map(|at| if at % 7 == 0 { f64::from(at).ln() } else { 0.0 })
            .collect();
        check(&sparse);
        assert!(StoredEvidence::of(&[0.0; 1500]).0.len() < 300);
    }

    #[test]
    fn anything_else_has_no_numbers() {
        let whole = StoredEvidence::of(&[1.0, 2.0, 3.0]).0;
        for text in ["", "AA", "not Base64!", "/////w", &whole[..whole.len() - 4]] {
            assert_eq!(StoredEvidence(text.to_owned()).numbers(), None, "{text}");
        }
        assert_eq!(StoredEvidence(format!("{whole}AAAA")).numbers(), None);
    }
}
