//! Messages that name a live call but come from elsewhere.

use super::{Caller, House};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_over_the_other_side_is_no_goodbye() {
    let house = House::open(&[]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    let listeners = house.engine().listeners();
    let agents = listeners.iter().find_map(|at| at.strip_prefix("agent udp:")).unwrap().parse().unwrap();
    let trunk = std::mem::replace(&mut caller.to, agents);
    caller.send("BYE", 2, "", "").await;
    caller.status(481).await;
    caller.to = trunk;
    caller.send("OPTIONS", 3, "", "").await;
    assert_eq!(caller.status(200).await.cseq().number, 3);
    assert_eq!(house.look("/calls").await.as_array().map(Vec::len), Some(1));
    caller.send("BYE", 4, "", "").await;
    assert_eq!(caller.status(200).await.cseq().number, 4);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_without_our_tag_ends_nothing() {
    let house = House::open(&[]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    let ours = std::mem::replace(&mut caller.tag, ";tag=guessed".to_owned());
    caller.send("BYE", 2, "", "").await;
    caller.status(481).await;
    caller.tag = ours.to_ascii_uppercase().replace(";TAG=", ";tag=");
    caller.send("BYE", 3, "", "").await;
    caller.status(481).await;
    assert_eq!(house.look("/calls").await.as_array().map(Vec::len), Some(1));
    house.close().await;
}
