//! Messages on a stream of octets, TCP or TLS: cutting them out, one bounded writer, keep-alive.
//!
//! A connection that breaks the framing rules is closed after the fault's answer: after a wrong length no later octet
//! can be trusted. A ping (CRLF CRLF) is answered with CRLF; ours is the same. A peer that takes nothing for 10 s is
//! given up, or it would hold its writer for ever. Deliberately absent: handshakes and opening (`connection`).
//! RFC 3261 §18.3, RFC 5626 §3.5.1.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Octets, Outgoing};
use super::patience::{Due, Patience};
use crate::sip::frame::{self, Frame, Framer};
use crate::sip::parse::Limits;

const READ_CHUNK: usize = 16 * 1024;
const PONG: Bytes = Bytes::from_static(frame::PONG);
const PING: Bytes = Bytes::from_static(frame::PING);

/// Carries messages until either end has had enough.
pub(super) async fn serve(mut connection: Connection, octets: Box<dyn Octets>, waiting: mpsc::Receiver<Outgoing>) {
    let (reader, writer) = io::split(octets);
    let gone = connection.shared.stop.child_token();
    let writing = connection.shared.tasks.spawn(write(writer, waiting, (connection.terms.times.write, gone.clone())));
    read(&mut connection, reader, &gone).await;
    gone.cancel();
    let _ = writing.await;
    connection.close();
}

async fn read(connection: &mut Connection, mut reader: impl AsyncRead + Unpin, gone: &CancellationToken) {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut chunk = BytesMut::zeroed(READ_CHUNK);
    let mut patience = Patience::new(connection.terms, Instant::now());
    loop {
        let (at, due) = patience.deadline();
        let received = tokio::select! {
            () = gone.cancelled() => return,
            received = timeout_at(at, reader.read(&mut chunk)) => received,
        };
        match (received, due) {
            (Ok(Ok(length @ 1..)), _) => framer.push(chunk.get(..length).unwrap_or_default()),
            (Err(_), Due::Ping) => {
                connection.write(Outgoing::Ping);
                patience.pinged(Instant::now());
                continue;
            }
            (Ok(Ok(0) | Err(_)), _) | (Err(_), Due::Close) => return,
        }
        let mut messages = 0;
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message(bytes) => {
                    messages += 1;
                    tokio::select! {
                        () = gone.cancelled() => return,
                        () = connection.deliver(bytes) => {}
                    }
                }
                Frame::KeepAlive => connection.write(Outgoing::Pong),
                Frame::Fault(fault) => {
                    tracing::debug!(flow = ?connection.flow, status = fault.status, "framing fault, connection closed");
                    connection.shared.counters.framing_faults.fetch_add(1, Ordering::Relaxed);
                    if let Some(answer) = fault.response_bytes() {
                        connection.write(Outgoing::Message(answer));
                    }
                    return;
                }
            }
        }
        patience.heard(Instant::now(), messages, framer.pending());
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Outgoing>,
    (within, gone): (Duration, CancellationToken),
) {
    loop {
        let outgoing = tokio::select! {
            () = gone.cancelled() => break,
            outgoing = waiting.recv() => outgoing,
        };
        let Some(outgoing) = outgoing else { break };
        if !write_whole(&mut writer, outgoing, waiting.is_empty(), within).await {
            gone.cancel();
            return;
        }
    }
    // What was queued before the close still goes out (a last response before drain).
    while let Ok(outgoing) = waiting.try_recv() {
        if !write_whole(&mut writer, outgoing, true, within).await {
            return;
        }
    }
    let _ = timeout(within, writer.shutdown()).await;
}

/// Writes, and lets a TLS layer send what it holds when nothing more waits.
async fn write_whole(writer: &mut (impl AsyncWrite + Unpin), outgoing: Outgoing, last: bool, within: Duration) -> bool {
    let bytes = match outgoing {
        Outgoing::Message(bytes) => bytes,
        Outgoing::Ping => PING,
        Outgoing::Pong => PONG,
    };
    let writing = async {
        writer.write_all(&bytes).await?;
        if last { writer.flush().await } else { Ok(()) }
    };
    matches!(timeout(within, writing).await, Ok(Ok(())))
}
