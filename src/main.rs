//! The `switch12345` command.

fn main() {}
