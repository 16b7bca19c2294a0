//! A receiver that numbers a ticket only when its call is long over.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Caller, House, bounded};

/// Answers one POST; returns its body.
async fn serve_one(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    loop {
        let mut chunk = [0; 16_384];
        let length = stream.read(&mut chunk).await.unwrap();
        assert!(length > 0, "the sender gave up");
        seen.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let due =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= due.unwrap_or(0) {
            let closed = body.contains("\"ticket.closed\"") || body.contains("\"ticket.amended\"");
            let answer = if closed { "{\"ticket_no\":\"T-77\"}" } else { "{}" };
            let answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            return body.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_given_after_the_call_amends_the_ticket_once() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ticket.endpoint.local.url=\"http://{}/t\"", receiver.local_addr().unwrap());
    let secret = "ticket.endpoint.local.secret=\"whsec_c3dpdGNoMTIzNDUtZGVtby1zZWNyZXQ=\"";
    let house = House::open(&[&url, secret]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    caller.send("BYE", 2, "", "").await;
    caller.status(200).await;
    let amended = bounded(async {
        loop {
            let body = serve_one(&receiver).await;
            if body.contains("\"ticket.amended\"") {
                return body;
            }
        }
    })
    .await;
    assert!(amended.contains("T-77"), "{amended}");
    let rows = house.look_until("/endpoints", |rows| rows[0]["waiting"] == 0).await;
    assert_eq!(rows[0]["dead"], 0, "the amendment's own answer makes no other: {rows}");
    house.close().await;
}
