//! The statistics of the judge: evidence that a canary is worse than tolerated, and evidence that it is not.
//!
//! Both are wealth in a game that cannot be won by luck. In each window the game bets on the counts of both arms; if the
//! hypothesis that it bets against holds, the expected factor is at most 1, whatever the baseline's rate is and however it
//! moves. By Ville's inequality the wealth then ever reaches `1/alpha` with probability `alpha` at most, for any number of
//! looks.
//!
//! [`betting`] is the factor of one window, [`process`] the wealth, [`clusters`] the correction for clients that fail
//! together, [`threshold`] the counting of slow requests, [`metric`] all of that for one metric.

pub mod betting;
pub mod clusters;
pub mod metric;
pub mod process;
pub mod threshold;
