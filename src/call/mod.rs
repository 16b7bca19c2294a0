//! One call and all its legs: a pure machine fed with packets, media reports and verdicts.
//!
//! Its words to the outside are in [`words`]; what it says to one leg and hears from it is in [`leg`].

pub mod leg;
pub mod words;
