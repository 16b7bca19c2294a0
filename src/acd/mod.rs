//! All queues and all agents.
