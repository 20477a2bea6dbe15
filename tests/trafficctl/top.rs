//! `top` with pages that no proxy with the filter would serve.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

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
