//! Datagram listeners: large kernel buffers, one task each, no wait between packets.
//!
//! A datagram that finds no place costs its read and nothing more: it is copied only when it has one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Listener, Shared};
use crate::base::flow::{Flow, Transport};

/// Largest datagram there is.
const DATAGRAM: usize = 65_535;
/// Asked of the kernel, which may grant less: a burst of 100 calls/s must fit while the switch is busy.
const KERNEL_BUFFER: usize = 4 << 20;

/// Binds with large buffers.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Hands each datagram to the switch until the engine stops.
pub(super) async fn receive(shared: Arc<Shared>, socket: Arc<UdpSocket>, at: Listener) {
    let mut buffer = BytesMut::zeroed(DATAGRAM);
    loop {
        let received = tokio::select! {
            () = shared.stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error here is an ICMP answer to an earlier send; the transaction that sent it times out by itself.
        let Ok((length, remote)) = received else { continue };
        let Some(datagram) = buffer.get(..length) else { continue };
        // RFC 5626 §3.5.1 and old keep-alives: nothing but line ends, or four zero bytes.
        if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            continue;
        }
        let seen = shared.seen(&at, Transport::Udp, remote, || None);
        if !shared.inbox.offer(seen.standing(), Flow { remote, local: seen.local, ..at.flow }, datagram) {
            shared.counters.dropped_in.fetch_add(1, Ordering::Relaxed);
        }
    }
}
