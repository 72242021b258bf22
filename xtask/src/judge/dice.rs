//! Random numbers with fixed seeds, and the distributions that the simulation draws from.

/// Below this mean, a Poisson number is drawn by inversion.
const INVERSION_BELOW: f64 = 10.0;
/// Factorials below this are multiplied out.
const FACTORIALS: u32 = 16;

/// A generator: xorshift64* (Marsaglia, Vigna), seeded through SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// A number from 0 to 1, without 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A position in a list of `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.uniform() * count as f64) as usize
    }

    /// A normal number (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A Poisson number.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            0.0
        } else if mean < INVERSION_BELOW {
            self.poisson_by_inversion(mean)
        } else {
            self.poisson_by_rejection(mean)
        }
    }

    fn poisson_by_inversion(&mut self, mean: f64) -> f64 {
        let mut left = self.uniform();
        let mut mass = (-mean).exp();
        let mut count = 0.0;
        while left > mass && mass > 0.0 {
            left -= mass;
            count += 1.0;
            mass *= mean / count;
        }
        count
    }

    /// The algorithm PTRS of W. Hörmann, "The transformed rejection method for generating Poisson random variables" (1993);
    /// exact.
    fn poisson_by_rejection(&mut self, mean: f64) -> f64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = 1.0 - self.uniform();
            let us = 0.5 - u.abs();
            let count = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= squeeze {
                return count;
            }
            if count < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let accepted = v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln();
            if accepted <= count * mean.ln() - mean - ln_factorial(count) {
                return count;
            }
        }
    }

    /// A gamma number with mean 1 and this standard deviation (Marsaglia and Tsang, 2000).
    pub(crate) fn gamma(&mut self, deviation: f64) -> f64 {
        let shape = 1.0 / (deviation * deviation);
        // Below a shape of 1, one of the next greater shape is scaled down.
        let (d, boost) = if shape < 1.0 {
            (shape + 2.0 / 3.0, (1.0 - self.uniform()).powf(1.0 / shape))
        } else {
            (shape - 1.0 / 3.0, 1.0)
        };
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * boost / shape;
            }
        }
    }
}

/// The logarithm of `count!`, by Stirling's series.
fn ln_factorial(count: f64) -> f64 {
    if count < f64::from(FACTORIALS) {
        return (2..=count as u32).map(f64::from).product::<f64>().ln();
    }
    let inverse = 1.0 / count;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (count + 0.5) * count.ln() - count + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_numbers_have_their_probabilities() {
        for mean in [0.01, 0.7, 4.0, 9.9, 10.0, 25.0, 95.0, 500.0] {
            let mut dice = Dice::new(1);
            let draws = 200_000;
            // Classes around the mean, a quarter of a deviation wide, and what is beyond.
            let width = (f64::sqrt(mean) / 4.0).max(1.0);
            let class = |count: f64| (((count - mean) / width).round().clamp(-14.0, 14.0) + 14.0) as usize;
            let (mut seen, mut expected) = ([0.0; 29], [0.0; 29]);
            for _ in 0..draws {
                seen[class(dice.poisson(mean))] += 1.0;
            }
            for count in (0..2000).map(f64::from) {
                let mass = (count * f64::ln(mean) - mean - ln_factorial(count)).exp();
                expected[class(count)] += mass * f64::from(draws);
            }
            // Pearson's statistic over classes that are not rare: below 70 with 28 degrees of freedom nearly always.
            let terms = seen.iter().zip(expected).filter(|(_, expected)| *expected > 5.0);
            let distance: f64 = terms
                .map(|(seen, expected)| (seen - expected).powi(2) / expected)
                .sum();
            assert!(distance < 70.0, "{mean}: {distance}");
        }
    }

    #[test]
    fn normal_and_gamma_numbers_have_their_moments() {
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let draws: Vec<f64> = (0..200_000).map(|_| draw()).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let squares: f64 = draws.iter().map(|draw| (draw - mean).powi(2)).sum();
            (mean, (squares / draws.len() as f64).sqrt())
        };
        let mut dice = Dice::new(2);
        let (mean, deviation) = moments(&mut || dice.normal());
        assert!(
            mean.abs() < 0.01 && (deviation - 1.0).abs() < 0.01,
            "{mean}, {deviation}"
        );
        for expected in [0.5, 1.0, 2.0] {
            let (mean, deviation) = moments(&mut || dice.gamma(expected));
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
            assert!(
                (deviation / expected - 1.0).abs() < 0.03,
                "{deviation}, not {expected}"
            );
        }
    }
}
