//! Listeners of every transport, and the certificate they have when none is configured.

use super::{House, TcpStream};

const ALL: &str = "sip.agent_listen=[\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\", \"ws:127.0.0.1:0\", \
                   \"wss:127.0.0.1:0\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_is_served_and_a_certificate_is_there_without_being_configured() {
    let mut house = House::open(&[ALL]).await;
    let listeners = house.engine().listeners();
    let agent: Vec<_> = listeners.iter().filter_map(|at| at.strip_prefix("agent ")).collect();
    assert_eq!(agent.len(), 5, "{listeners:?}");
    for at in agent.iter().filter_map(|at| at.split_once(':')).filter(|(transport, _)| *transport != "udp") {
        TcpStream::connect(at.1).await.unwrap();
    }
    let file = house.dir.join("tls-certificate.pem");
    let before = std::fs::read_to_string(&file).unwrap();
    house.restart().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before, "kept for the next start");
    house.close().await;
}
