//! What strangers, broken gear and attackers send, against the whole engine with live calls in it.

mod floods;
mod linear;
mod shapes;
mod spoofed;
