//! The HTTP side as scripts see it.

use super::{Caller, House};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_and_figures_need_no_token() {
    let house = House::open(&[]).await;
    assert_eq!(house.http("GET", "/healthz", "", "").await.0, 200);
    assert_eq!(house.http("GET", "/readyz", "", "").await, (200, "ready\n".to_owned()));
    assert_eq!(house.http("GET", "/metrics", "", "").await.0, 200);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_else_needs_the_token() {
    let house = House::open(&[]).await;
    let near = format!("Authorization: Bearer {}x\r\n", house.token);
    for path in ["/status", "/calls", "/agents", "/queues", "/trunks", "/alarms", "/tickets", "/endpoints"] {
        for headers in
            ["", "Authorization: Bearer\r\n", "Authorization: Bearer x\r\n", "Authorization: Basic x\r\n", &near]
        {
            let (status, body) = house.http("GET", &format!("/api/v1{path}"), headers, "").await;
            assert_eq!(status, 401, "{path} with `{headers}`");
            assert!(body.contains("\"error\""), "{body}");
        }
        assert!(house.look(path).await != serde_json::Value::Null, "{path}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_shows_masked_is_acted_on_and_audited() {
    let house = House::open(&[]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    let calls = house.look_until("/calls", |calls| calls[0]["phase"] == "queueing").await;
    let (call, ticket) = (calls[0]["call_id"].as_str().unwrap(), calls[0]["ticket_id"].as_str().unwrap());
    assert_eq!((&calls[0]["dialled"], &calls[0]["tenant"]), (&"12345".into(), &"p".into()));
    assert_eq!(house.look(&format!("/calls/{call}")).await["call_id"], call);
    assert_eq!(house.look("/queues").await[0]["waiting"], 1);
    assert_eq!(house.look("/agents").await[0]["agent"], "1001");
    let trunks = house.look("/trunks").await;
    let carrier = trunks.as_array().unwrap().iter().find(|trunk| trunk["trunk"] == "carrier").unwrap();
    assert_eq!(carrier["calls"], 1);
    for path in ["/calls", "/tickets", "/status", "/queues", "/agents"] {
        assert!(!house.look(path).await.to_string().contains("13912345678"), "{path} shows the number");
    }
    let whole = house.look(&format!("/tickets/{ticket}")).await;
    assert!(whole.to_string().contains("13912345678"), "the ticket itself has it");
    assert_eq!(house.api("POST", &format!("/calls/{call}/hang-up"), "{}").await.0, 202);
    caller.hung_up().await;
    house.look_until("/tickets?closed=true", |rows| rows.as_array().is_some_and(|rows| rows.len() == 1)).await;
    let audit = std::fs::read_to_string(house.dir.join("audit.log")).unwrap();
    let lines: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |what: &str| lines.iter().find(|line| line["what"] == what).map(|line| line["subject"].clone());
    assert_eq!((of("ticket.look"), of("hang-up")), (Some(ticket.into()), Some(call.into())));
    assert!(!audit.contains("13912345678") && !audit.contains(&house.token));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_told_so_in_json() {
    let house = House::open(&[]).await;
    let none = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (method, path, body, wanted) in [
        ("GET", format!("/calls/{none}"), "", 404),
        ("GET", "/calls/nonsense".to_owned(), "", 404),
        ("POST", format!("/calls/{none}/hang-up"), "{}", 404),
        ("GET", format!("/tickets/{none}"), "", 404),
        ("GET", "/nothing".to_owned(), "", 404),
        ("POST", "/agents/9999/state".to_owned(), "{\"state\":\"ready\"}", 404),
        ("POST", "/agents/1001/state".to_owned(), "{\"state\":\"asleep\"}", 422),
        ("POST", "/agents/1001/state".to_owned(), "{\"state\"", 400),
        ("POST", "/agents/1001/state".to_owned(), "{\"state\":\"ready\",\"more\":1}", 422),
        ("POST", format!("/calls/{none}/emergency"), "{\"line\":\"1-1-0\"}", 422),
        ("POST", "/tickets/redrive".to_owned(), "{}", 422),
        ("POST", "/endpoints/none/park".to_owned(), "", 404),
        ("GET", "/tickets?rows=many".to_owned(), "", 400),
        ("DELETE", "/calls".to_owned(), "", 405),
    ] {
        let (status, value) = house.api(method, &path, body).await;
        assert_eq!(status, wanted, "{method} {path} {body}: {value}");
        assert!(value["error"].is_string(), "{method} {path} {body}: {value}");
    }
    let (status, _) = house.api("POST", "/agents/1001/state", "{\"state\":\"ready\"}").await;
    assert_eq!(status, 202);
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    let (status, _) = house.api("POST", &format!("/calls/{none}/malicious"), &huge).await;
    assert_eq!(status, 413);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_openapi_describes_is_served() {
    let house = House::open(&[]).await;
    let (status, text) = house.http("GET", "/openapi.json", "", "").await;
    assert_eq!(status, 200);
    let described: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path.replace("{call}", "x").replace("{agent}", "x").replace("{ticket}", "x").replace("{name}", "x");
        for method in methods.as_object().unwrap().keys() {
            let token = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", house.token);
            let (status, body) = house.http(&method.to_uppercase(), &path, &token, "{}").await;
            assert!(status != 405 && !body.contains("no such path"), "{method} {path}: {status} {body}");
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_goes_out_of_use_and_back_and_both_are_audited() {
    let house = House::open(&[]).await;
    let carrier = async || {
        let trunks = house.look("/trunks").await;
        trunks.as_array().unwrap().iter().find(|trunk| trunk["trunk"] == "carrier").unwrap().clone()
    };
    assert_eq!(carrier().await["busy_out"], false);
    assert_eq!(house.api("POST", "/trunks/carrier/busy-out", "").await.0, 200);
    assert_eq!((&carrier().await["busy_out"], &carrier().await["state"]), (&true.into(), &"busy_out".into()));
    Caller::calls(&house, "12345", "a").await.status(503).await;
    assert_eq!(house.api("POST", "/trunks/carrier/in-service", "").await.0, 200);
    assert_eq!(carrier().await["busy_out"], false);
    assert_eq!(house.api("POST", "/trunks/nobody/busy-out", "").await.0, 404);
    let audit = std::fs::read_to_string(house.dir.join("audit.log")).unwrap();
    let lines: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let noted: Vec<_> =
        lines.iter().map(|line| (line["what"].as_str().unwrap(), line["subject"].as_str().unwrap())).collect();
    assert_eq!(noted, [("trunk.busy-out", "carrier"), ("trunk.in-service", "carrier")]);
    house.close().await;
}
