//! One call and all its legs.
