//! Messages on a WebSocket: one SIP message in each text or binary message.
//!
//! The handshake must offer the sub-protocol `sip`, and come from a listed origin where `sip.ws_origins` lists any; any
//! path will do. A peer behind it can be reached over this connection only (its Via and Contact say `.invalid`), so
//! everything for it goes over the same flow. A text message goes out as text when it is UTF-8, else binary. A message
//! of line ends alone is a keep-alive, answered as on a stream; pings are answered by the WebSocket layer, and ours are
//! its pings. RFC 7118, RFC 6455.
//! Deliberately absent: calling a peer by WebSocket; compression; HTTP on the same port.
//!
//! | limit | value |
//! |---|---|
//! | handshake | 64 KiB, 512 reads, and the time `connection` gives |
//! | a message, in however many frames | 64 KiB |
//! | the rest of a message once begun | 30 s to 60 s |

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Octets, Outgoing};
use super::patience::{Due, Patience};
use crate::sip::parse::Limits;

const PROTOCOL: &str = "sip";
const BUFFER: usize = 4 * 1024;

/// A WebSocket whose handshake is done.
pub(super) struct Socket {
    messages: WebSocketStream<Tally>,
    octets: Arc<AtomicU64>,
}

/// Who is let in: origins, any when empty.
struct Gate(Arc<[String]>);

/// Counts octets read: an incomplete message shows itself by nothing else.
struct Tally {
    octets: Box<dyn Octets>,
    read: Arc<AtomicU64>,
}

/// Shakes hands.
///
/// # Errors
/// Why the peer was refused.
pub(super) async fn shake(octets: Box<dyn Octets>, origins: Arc<[String]>) -> Result<Socket, String> {
    let read = Arc::<AtomicU64>::default();
    let tally = Tally { octets, read: Arc::clone(&read) };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * Limits::DEFAULT.message)
        .max_message_size(Some(Limits::DEFAULT.message))
        .max_frame_size(Some(Limits::DEFAULT.message));
    let shaken = tokio_tungstenite::accept_hdr_async_with_config(tally, Gate(origins), Some(config)).await;
    shaken.map(|messages| Socket { messages, octets: read }).map_err(|fault| fault.to_string())
}

impl Callback for Gate {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let headers = request.headers();
        let refused = |status, reason: &str| {
            let mut refused = ErrorResponse::new(Some(reason.to_owned()));
            *refused.status_mut() = status;
            refused
        };
        let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
        let listed = |one: &String| origin.is_some_and(|origin| origin.eq_ignore_ascii_case(one.as_bytes()));
        if !self.0.is_empty() && !self.0.iter().any(listed) {
            return Err(refused(StatusCode::FORBIDDEN, "this origin is not listed"));
        }
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        if !offered.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(PROTOCOL)) {
            return Err(refused(StatusCode::BAD_REQUEST, "the sub-protocol sip is wanted (RFC 7118)"));
        }
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        Ok(response)
    }
}

/// Carries messages until either end has had enough.
pub(super) async fn serve(mut connection: Connection, socket: Socket, waiting: mpsc::Receiver<Outgoing>) {
    let (writer, reader) = socket.messages.split();
    let gone = connection.shared.stop.child_token();
    let writing = connection.shared.tasks.spawn(write(writer, waiting, (connection.terms.times.write, gone.clone())));
    read(&mut connection, reader, &socket.octets, &gone).await;
    gone.cancel();
    let _ = writing.await;
    connection.close();
}

async fn read(
    connection: &mut Connection,
    mut reader: SplitStream<WebSocketStream<Tally>>,
    octets: &AtomicU64,
    gone: &CancellationToken,
) {
    let mut patience = Patience::new(connection.terms, Instant::now());
    let mut whole = octets.load(Ordering::Relaxed);
    loop {
        let (at, due) = patience.deadline();
        let look = Instant::now() + connection.terms.times.rest;
        let received = tokio::select! {
            () = gone.cancelled() => return,
            received = timeout_at(at.min(look), reader.next()) => received,
        };
        let message = match received {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(fault))) => {
                tracing::debug!(flow = ?connection.flow, %fault, "WebSocket closed");
                if is_broken(&fault) {
                    connection.shared.counters.framing_faults.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
            Ok(None) => return,
            Err(_) if at > look => {
                // Octets came and no message: one was begun.
                if octets.load(Ordering::Relaxed) != whole {
                    patience.heard(Instant::now(), 0, 1);
                }
                continue;
            }
            Err(_) if due == Due::Ping => {
                connection.write(Outgoing::Ping);
                patience.pinged(Instant::now());
                continue;
            }
            Err(_) => return,
        };
        whole = octets.load(Ordering::Relaxed);
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Bytes::new(),
            Message::Close(_) => return,
        };
        let is_message = !bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if bytes.starts_with(b"\r\n\r\n") && !is_message {
            connection.write(Outgoing::Pong);
        }
        patience.heard(Instant::now(), usize::from(is_message), 0);
        if is_message {
            tokio::select! {
                () = gone.cancelled() => return,
                () = connection.deliver(bytes) => {}
            }
        }
    }
}

async fn write(
    mut writer: SplitSink<WebSocketStream<Tally>, Message>,
    mut waiting: mpsc::Receiver<Outgoing>,
    (within, gone): (Duration, CancellationToken),
) {
    loop {
        let outgoing = tokio::select! {
            () = gone.cancelled() => break,
            outgoing = waiting.recv() => outgoing,
        };
        let Some(outgoing) = outgoing else { break };
        if !matches!(timeout(within, writer.send(wrapped(outgoing))).await, Ok(Ok(()))) {
            gone.cancel();
            return;
        }
    }
    while let Ok(outgoing) = waiting.try_recv() {
        if !matches!(timeout(within, writer.send(wrapped(outgoing))).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(within, writer.close()).await;
}

/// Whether the peer broke the rules, and is not just gone.
const fn is_broken(fault: &Error) -> bool {
    match fault {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => false,
        Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_) => true,
        _ => false,
    }
}

fn wrapped(outgoing: Outgoing) -> Message {
    match outgoing {
        Outgoing::Message(bytes) => match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(bytes),
        },
        Outgoing::Ping => Message::Ping(Bytes::new()),
        Outgoing::Pong => Message::Text(Utf8Bytes::from_static("\r\n")),
    }
}

impl AsyncRead for Tally {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.octets).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tally {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.octets).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.octets).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.octets).poll_shutdown(context)
    }
}
