//! Stream connections: accepting, opening, framing, one bounded writer each.
//!
//! A connection that breaks the framing rules is closed: after a wrong length no later byte can be trusted. Its
//! calls live on; their peers connect anew. Keep-alive pings (CRLF CRLF) are answered with CRLF.

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
    CONNECT_WITHIN, CONNECTION_QUEUE, CONNECTIONS_PER_ADDRESS, FIRST_MESSAGE_WITHIN, IDLE, NetEvent, Shared, Sink,
};
use crate::base::flow::{Flow, Side, Transport};
use crate::sip::frame::{Frame, Framer};
use crate::sip::parse::Limits;

const READ_CHUNK: usize = 16 * 1024;
const PONG: Bytes = Bytes::from_static(b"\r\n");

/// Accepts until the engine stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, at: Flow) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of descriptors or a peer gone already: the next accept tells anew.
        let Ok((stream, remote)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let per_address = *shared.per_address.entry((at.side, remote.ip())).and_modify(|open| *open += 1).or_insert(1);
        let flow = Flow { id: shared.mint(), remote, ..at };
        if per_address > CONNECTIONS_PER_ADDRESS {
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
                    shared.deliver(flow, bytes);
                }
                Frame::KeepAlive => {
                    patience = IDLE;
                    if let Some(Sink::Stream(queue)) = shared.sinks.get(&flow.id).as_deref() {
                        let _ = queue.try_send(PONG);
                    }
                }
                Frame::Fault(fault) => {
                    tracing::debug!(?flow, ?fault, "framing fault, connection closed");
                    shared.counters.framing_faults.fetch_add(1, Ordering::Relaxed);
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
        if writer.write_all(&bytes).await.is_err() {
            gone.cancel();
            return;
        }
    }
    // What was queued before the close still goes out (a last response before drain).
    while let Ok(bytes) = waiting.try_recv() {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
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
