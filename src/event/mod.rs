//! The one vocabulary of what happened in a call, and the folds over it.
