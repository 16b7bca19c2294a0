//! Stream connections: accepting, opening, framing, one bounded writer each.
//!
//! A connection that breaks the framing rules is closed after the fault's answer: after a wrong length no later byte
//! can be trusted. Its calls live on; their peers connect anew. Keep-alive pings (CRLF CRLF) are answered with CRLF.
//! A reader waits for room in the switch queue, so a busy switch slows streams down instead of losing their messages.
//! A peer that takes nothing for 10 s is given up, or it would hold its writer for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    ACCEPT_AGAIN_AFTER, CONNECT_WITHIN, CONNECTION_QUEUE, CONNECTIONS_PER_ADDRESS, FIRST_MESSAGE_WITHIN, IDLE,
    NetEvent, Shared, Sink, WRITE_WITHIN,
};
use crate::base::flow::{Flow, Side, Transport};
use crate::sip::frame::{self, Frame, Framer};
use crate::sip::parse::Limits;

const READ_CHUNK: usize = 16 * 1024;
const PONG: Bytes = Bytes::from_static(frame::PONG);

/// Accepts until the engine stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, at: Flow) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, remote)) = accepted else {
            // Out of descriptors, most likely; accepting again at once would only burn the processor.
            let _ = tokio::time::timeout(ACCEPT_AGAIN_AFTER, shared.stop.cancelled()).await;
            continue;
        };
        let per_address = *shared.per_address.entry((at.side, remote.ip())).and_modify(|open| *open += 1).or_insert(1);
        let flow = Flow { id: shared.mint(), remote, ..at };
        if per_address > CONNECTIONS_PER_ADDRESS {
            shared.counters.turned_away.fetch_add(1, Ordering::Relaxed);
            leave_address(&shared, &flow);
            continue;
        }
        let (queue, waiting) = mpsc::channel(CONNECTION_QUEUE);
        shared.sinks.insert(flow.id, Sink::Stream(queue));
        shared.tasks.spawn(serve(Arc::clone(&shared), stream, flow, waiting));
    }
}

/// Begins a connection of our own; bytes queued meanwhile are sent once it stands.
pub(super) fn open(
    shared: &Arc<Shared>,
    side: Side,
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
) -> Flow {
    let flow = Flow { id: shared.mint(), side, transport, local, remote };
    let (queue, waiting) = mpsc::channel(CONNECTION_QUEUE);
    shared.sinks.insert(flow.id, Sink::Stream(queue));
    shared.opened.insert((side, remote), flow);
    *shared.per_address.entry((side, remote.ip())).or_insert(0) += 1;
    shared.tasks.spawn(connect(Arc::clone(shared), flow, waiting));
    flow
}

async fn connect(shared: Arc<Shared>, flow: Flow, waiting: mpsc::Receiver<Bytes>) {
    match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(flow.remote)).await {
        Ok(Ok(stream)) => serve(shared, stream, flow, waiting).await,
        Ok(Err(_)) | Err(_) => close(&shared, &flow).await,
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, flow: Flow, waiting: mpsc::Receiver<Bytes>) {
    // Without it small responses wait for the peer's delayed ACK.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let gone = shared.stop.child_token();
    let writing = shared.tasks.spawn(write(writer, waiting, gone.clone()));
    read(&shared, reader, flow, &gone).await;
    gone.cancel();
    let _ = writing.await;
    close(&shared, &flow).await;
}

async fn read(shared: &Arc<Shared>, mut reader: OwnedReadHalf, flow: Flow, gone: &CancellationToken) {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut chunk = BytesMut::zeroed(READ_CHUNK);
    let mut patience = FIRST_MESSAGE_WITHIN;
    loop {
        let received = tokio::select! {
            () = gone.cancelled() => return,
            received = tokio::time::timeout(patience, reader.read(&mut chunk)) => received,
        };
        let Ok(Ok(length @ 1..)) = received else { return };
        framer.push(chunk.get(..length).unwrap_or_default());
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message(bytes) => {
                    patience = IDLE;
                    let taken = tokio::select! {
                        () = gone.cancelled() => return,
                        taken = shared.to_switch.send(NetEvent::Packet { flow, bytes }) => taken,
                    };
                    if taken.is_err() {
                        return;
                    }
                }
                Frame::KeepAlive => {
                    patience = IDLE;
                    shared.queue(&flow, PONG);
                }
                Frame::Fault(fault) => {
                    tracing::debug!(?flow, status = fault.status, "framing fault, connection closed");
                    shared.counters.framing_faults.fetch_add(1, Ordering::Relaxed);
                    if let Some(answer) = fault.response_bytes() {
                        shared.queue(&flow, answer);
                    }
                    return;
                }
            }
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut waiting: mpsc::Receiver<Bytes>, gone: CancellationToken) {
    loop {
        let bytes = tokio::select! {
            () = gone.cancelled() => break,
            bytes = waiting.recv() => bytes,
        };
        let Some(bytes) = bytes else { break };
        if !write_whole(&mut writer, &bytes).await {
            gone.cancel();
            return;
        }
    }
    // What was queued before the close still goes out (a last response before drain).
    while let Ok(bytes) = waiting.try_recv() {
        if !write_whole(&mut writer, &bytes).await {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

async fn write_whole(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> bool {
    matches!(tokio::time::timeout(WRITE_WITHIN, writer.write_all(bytes)).await, Ok(Ok(())))
}

async fn close(shared: &Arc<Shared>, flow: &Flow) {
    shared.sinks.remove(&flow.id);
    shared.opened.remove_if(&(flow.side, flow.remote), |_, open| open.id == flow.id);
    leave_address(shared, flow);
    let _ = shared.to_switch.send(NetEvent::Closed(flow.id)).await;
}

fn leave_address(shared: &Shared, flow: &Flow) {
    let key = (flow.side, flow.remote.ip());
    if let Some(mut open) = shared.per_address.get_mut(&key) {
        *open = open.saturating_sub(1);
    }
    shared.per_address.remove_if(&key, |_, open| *open == 0);
}
