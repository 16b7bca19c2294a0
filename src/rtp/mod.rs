//! Media as samples and packets, without sockets.
