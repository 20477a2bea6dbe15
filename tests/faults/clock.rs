//! A clock that jumps.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use testbed::backend::{Backend, named};
use testbed::client::{Client, Http};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::one_endpoint;
use testbed::wait_until;

use super::load::{KEYS, Load};

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_back_and_forth_moves_no_key_and_stops_no_copy() {
    const HOUR: i64 = 3_600;
    let backends = Backend::start_all(["v1", "v2", "v3", "all", "limited"]).await.unwrap();
    let shadow = json!({ "all": 1, "limited": { "fraction": 1, "max_per_second": 20 } });
    let traffic = json!({ "v1": 0.5, "v2": 0.3, "v3": 0.2 });
    let policy = one_endpoint(json!({ "name": "ranker", "traffic": traffic, "shadow": shadow }));
    let setup = Setup { workers: 2, own_clock: true, ..Setup::new(policy, &backends) };
    let envoy = Envoy::start(&setup).await.unwrap();
    let loads = [Http::V1, Http::V2].map(|http| Load::start(envoy.client(http)));
    let admin = Client::new(envoy.admin, Http::V1);
    for offset in [24 * HOUR, 0, -24 * HOUR, HOUR, -HOUR, 365 * 24 * HOUR, -20 * 365 * 24 * HOUR, 0] {
        envoy.set_clock(offset).unwrap();
        wait_until("Envoy uses the new time", async || {
            let answer = admin.get("/ready", &[]).await.unwrap();
            let date = httpdate::parse_http_date(answer.headers()["date"].to_str().unwrap()).unwrap();
            let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
            (seconds(date) - seconds(SystemTime::now()) - offset).abs() < 5
        })
        .await
        .unwrap();
        let count = |name: &str| named(&backends, name).count();
        let (all, limited) = (count("all"), count("limited"));
        wait_until("more copies come", async || count("all") > all + KEYS && count("limited") > limited + 30)
            .await
            .unwrap_or_else(|error| panic!("at {offset:+} seconds: {error}"));
    }
    for load in loads {
        let served = load.stop().await;
        assert_eq!(served.failed, 0);
        served.assert_no_key_moved();
    }
    wait_until("each copy is answered and counted", async || {
        let answered = envoy.outcomes("all", "2xx").await.unwrap();
        answered == named(&backends, "all").count() && answered == envoy.all_outcomes("all").await.unwrap()
    })
    .await
    .unwrap();
}
