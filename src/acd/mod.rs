//! All queues and all agents, in one machine, because agents are what calls contend for.
//!
//! Calls, the switch and agents speak to it in the words of [`words`].

pub mod words;
