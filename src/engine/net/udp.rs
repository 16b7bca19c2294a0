//! Datagram listeners: large kernel buffers, one task each, no wait between packets.
//!
//! A datagram that finds no place costs its read and nothing more: it is copied only when it has one. What the kernel
//! drops before we read it is dropped without regard to its source, so its buffer is 4 MiB where the system allows it
//! (`net.core.rmem_max`, or CAP_NET_ADMIN) and the socket is read in bursts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Listener, Shared};
use crate::base::flow::{Flow, Transport};

/// Largest datagram there is.
const DATAGRAM: usize = 65_535;
/// Asked of the kernel, which may grant less: a burst of 100 calls/s must fit while the switch is busy.
const KERNEL_BUFFER: usize = 4 << 20;

/// Datagrams read before others get their turn.
const BURST: usize = 256;

/// Binds with large buffers.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    widen(&socket)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Hands each datagram to the switch until the engine stops.
pub(super) async fn receive(shared: Arc<Shared>, socket: Arc<UdpSocket>, at: Listener) {
    let mut buffer = BytesMut::zeroed(DATAGRAM);
    loop {
        let readable = tokio::select! {
            () = shared.stop.cancelled() => return,
            readable = socket.readable() => readable,
        };
        if readable.is_err() {
            continue;
        }
        let mut next = || match socket.try_recv_from(&mut buffer) {
            Ok((length, remote)) => {
                take(&shared, &at, remote, buffer.get(..length).unwrap_or_default());
                true
            }
            // Any other fault is an ICMP answer to an earlier send; the transaction that sent it times out by itself.
            Err(fault) => fault.kind() != io::ErrorKind::WouldBlock,
        };
        if (0..BURST).all(|_| next()) {
            // A flood: others on this thread get their turn too.
            tokio::task::yield_now().await;
        }
    }
}

fn take(shared: &Shared, at: &Listener, remote: SocketAddr, datagram: &[u8]) {
    // RFC 5626 §3.5.1 and old keep-alives: nothing but line ends, or four zero bytes.
    if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return;
    }
    let seen = shared.seen(at, Transport::Udp, remote, || None);
    if !shared.inbox.offer(seen.standing(), Flow { remote, local: seen.local, ..at.flow }, datagram) {
        shared.counters.dropped_in.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for a receive buffer: beyond what the system lets everybody have where we may, else as large as that.
fn widen(socket: &Socket) -> io::Result<()> {
    if set_socket_recv_buffer_size_force(socket, KERNEL_BUFFER).is_err() {
        socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    }
    // The kernel says double what it was asked for, its own bookkeeping included.
    let granted = socket.recv_buffer_size()? / 2;
    if granted < KERNEL_BUFFER {
        tracing::warn!(
            granted,
            wanted = KERNEL_BUFFER,
            "a flood of datagrams may cost others theirs: the kernel's receive \
            buffer is small; raise net.core.rmem_max or give CAP_NET_ADMIN"
        );
    }
    Ok(())
}
