//! The `switch12345` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    switch12345::cli::main()
}
