//! `top`: on terminals, for programs, and with pages that no proxy with the filter would serve.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::one_endpoint;
use testbed::wait_until;

use super::screen::Screen;
use super::{Desk, POLICY};

/// The address of a server that answers each request with a page, until the tests end.
pub fn served(status: &str, page: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let length = page.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap()).lines();
            request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// The output of `top --once`, and that of `top --json`.
fn top(page: &str) -> (String, Value) {
    let desk = Desk::with("policy.json", POLICY);
    let admin = served("200 OK", page);
    let words = desk.ok(&format!("top {admin} --once --window 1"));
    (words, desk.json(["top", &admin, "--json", "--window", "1"]))
}

#[test]
fn a_proxy_without_the_filters_metrics_has_no_requests_and_the_reader_learns_why() {
    for page in ["", "# TYPE envoy_server_uptime gauge\nenvoy_server_uptime{} 5\n", "not metrics"] {
        let (words, json) = top(page);
        assert!(words.contains("   no policy   0.0 requests a second in the last 1 s\n"), "{words}");
        assert!(words.contains("The proxy has no metrics of the filter: "), "{words}");
        assert_eq!(json["traffic"], json!([]));
    }
}

#[test]
fn a_value_that_is_no_count_is_never_shown() {
    for value in ["NaN", "-Inf", "+Inf", "-1", "-0", "1e308"] {
        let labels = r#"endpoint="e",backend="v1""#;
        let page = format!(
            "# TYPE traffic_policy_policy_info gauge
traffic_policy_policy_info{{version=\"1\"}} {value}
# TYPE traffic_policy_traffic_share_millionths gauge
traffic_policy_traffic_share_millionths{{endpoint=\"e\",backend=\"v2\"}} 1000000
traffic_policy_traffic_share_millionths{{{labels}}} {value}
# TYPE traffic_policy_requests_total counter
traffic_policy_requests_total{{{labels},reason=\"key\"}} {value}
# TYPE traffic_policy_responses_total counter
traffic_policy_responses_total{{{labels},code_class=\"5xx\"}} {value}
# TYPE traffic_policy_response_time_milliseconds histogram
traffic_policy_response_time_milliseconds_bucket{{{labels},le=\"{value}\"}} {value}
traffic_policy_response_time_milliseconds_bucket{{{labels},le=\"+Inf\"}} 1
# TYPE traffic_policy_shadow_total counter
traffic_policy_shadow_total{{{labels},result=\"2xx\"}} {value}
# TYPE traffic_policy_shadow_in_flight gauge
traffic_policy_shadow_in_flight{{{labels}}} {value}
"
        );
        let (words, json) = top(&page);
        assert!(words.contains("   0.0 requests a second in the last 1 s\n") && words.contains("100 %"), "{words}");
        for bad in ["NaN", "inf", "-0", "-1", " -1"] {
            assert!(!words.contains(bad), "{value}: {words}");
        }
        assert_eq!(json["traffic"][0]["requests_per_second"], json!(0.0), "{value}");
    }
}

/// The metrics of endpoints whose backends differ only in their last letters.
fn page(endpoints: &[String]) -> String {
    let mut page = String::new();
    for endpoint in endpoints {
        for (backend, share) in [("ranker-v1", 900_000), ("ranker-v2", 100_000)] {
            let labels = format!("endpoint=\"{endpoint}\",cohort=\"beta\",backend=\"{backend}\"");
            page += &format!(
                "# TYPE traffic_policy_traffic_share_millionths gauge
traffic_policy_traffic_share_millionths{{{labels}}} {share}
# TYPE traffic_policy_shadow_in_flight gauge
traffic_policy_shadow_in_flight{{{labels}}} 2
"
            );
        }
    }
    page
}

/// A screen of this size with the traffic of these endpoints.
fn screen(columns: u16, rows: u16, endpoints: &[String]) -> Screen {
    let admin = served("200 OK", &page(endpoints));
    let desk = Desk::with("policy.json", POLICY);
    Screen::start(columns, rows, desk.trafficctl.program(), &format!("top {}", admin.trim_start_matches("http://")))
}

#[test]
fn a_terminal_of_any_size_shows_whole_names_in_one_table_without_gaps() {
    for (columns, rows) in [(80, 24), (160, 40), (40, 24)] {
        let mut screen = screen(columns, rows, &["search-and-recommendations".to_owned()]);
        let shown = screen.wait("the traffic", |shown| shown.contains("q quits"));
        let lines: Vec<_> = shown.lines().map(str::trim).collect();
        let head = lines.iter().position(|line| line.ends_with(if columns == 40 { "errors" } else { "p99 ms" }));
        let head = head.unwrap_or_else(|| panic!("no titles: {shown}"));
        let rows_shown: Vec<_> = lines[head + 1..].iter().take(7).map(|line| line.to_owned()).collect();
        let [group, first, second, copies, in_flight, more, _] = rows_shown.as_slice() else { panic!("{shown}") };
        assert_eq!(*group, "search-and-recommendations/beta");
        assert!(first.starts_with("ranker-v1 ") && first.contains("90 %"), "{shown}");
        assert!(second.starts_with("ranker-v2 ") && second.contains("10 %"), "{shown}");
        assert!(copies.starts_with("shadow ranker-v1") && more.starts_with("shadow ranker-v2"), "{shown}");
        assert_eq!(*in_flight, "2 in flight");
        assert!(!shown.contains("-0"), "{shown}");
        // The screen is empty below, and only there.
        let last = lines.iter().rposition(|line| line.ends_with("in flight")).unwrap();
        assert!(lines[..=last].iter().all(|line| !line.is_empty()), "{shown}");
        screen.press("q");
        assert_eq!(screen.status(), Some(0));
    }
}

#[test]
fn rows_scroll() {
    let endpoints: Vec<_> = (0..30).map(|n| format!("e{n:02}")).collect();
    let mut screen = screen(80, 24, &endpoints);
    let has = |first: &'static str, last: &'static str| {
        move |shown: &str| shown.contains("rate /s") && shown.contains(first) && shown.contains(last)
    };
    // Each endpoint has seven lines, and the screen has 21.
    for (keys, first, last) in [
        ("", "e00/beta", "j k scroll: 1 to 21 of 210"),
        ("j", "ranker-v2", "2 to 22 of 210"),
        ("\u{1b}[B", "ranker-v2", "3 to 23 of 210"),
        ("k", "ranker-v2", "2 to 22 of 210"),
        ("\u{1b}[6~", "e05/beta", "22 to 42 of 210"),
        ("G", "e29/beta", "190 to 210 of 210"),
        ("\u{1b}[5~", "e25/beta", "170 to 190 of 210"),
        ("g", "e00/beta", "1 to 21 of 210"),
    ] {
        screen.press(keys);
        screen.wait(&format!("{keys:?}, {first}, {last}"), has(first, last));
    }
    screen.press("\u{3}");
    assert_eq!(screen.status(), Some(0));
}

#[test]
fn misrouted_requests_are_shown_at_their_endpoint() {
    let metric = "# TYPE traffic_policy_misrouted_total counter\ntraffic_policy_misrouted_total";
    let counts = format!("{metric}{{endpoint=\"e\"}} 3\n{metric}{{endpoint=\"f\"}} 0\n");
    let (words, json) = top(&(page(&["e".to_owned(), "f".to_owned()]) + &counts));
    assert!(words.contains("\ne\n  misrouted: 3 sampled\ne/beta\n"), "{words}");
    assert_eq!(words.matches("misrouted").count(), 1, "{words}");
    assert_eq!(json["misrouted_samples"], json!({ "e": 3.0 }));
}

#[test]
fn an_admin_address_needs_no_scheme() {
    let desk = Desk::with("policy.json", POLICY);
    let admin = served("200 OK", "");
    for address in [&admin, admin.trim_start_matches("http://")] {
        let words = desk.ok(&format!("top {address} --once --window 1"));
        assert!(words.starts_with(&format!("{admin}   ")), "{words}");
    }
    for address in ["127.0.0.1", "https://127.0.0.1:9901", "127.0.0.1:http"] {
        let ended = desk.run(&format!("top {address} --once"));
        assert!(ended.status == Some(2) && ended.stderr.contains("write HOST:PORT"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_update_is_shown_until_a_good_one_comes() {
    let backends = Backend::start_all(["a"]).await.unwrap();
    let policy = |route: &str| one_endpoint(json!({ "name": "e", "route": route, "traffic": { "a": 1 } }));
    let envoy = Envoy::start(&Setup::new(policy("/one"), &backends)).await.unwrap();
    let desk = Desk::with("policy.json", POLICY);
    let command = format!("top {} --window 1 --json", envoy.admin);
    let refused = || desk.json(command.split(' '))["refused"].clone();
    assert_eq!(refused(), json!([]));
    let expected = "refused: the last policy that the proxy got is not in force: endpoints[0].route: \"one\" ";
    // Envoy counts the second time as a success.
    for _ in 0..2 {
        envoy.put_policy(&policy("one")).unwrap();
        wait_until("the refusal is shown", async || {
            refused().as_array().is_some_and(|list| list.len() == 1 && list[0].as_str().unwrap().starts_with(expected))
        })
        .await
        .unwrap();
    }
    let words = desk.ok(&format!("top {} --window 1 --once", envoy.admin));
    assert!(words.lines().nth(1).is_some_and(|line| line.starts_with(expected)), "{words}");
    assert_eq!(envoy.apply(&policy("/two")).await.unwrap(), Verdict::InForce);
    assert_eq!(refused(), json!([]));
}
