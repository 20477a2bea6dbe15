//! Shares that are too small to show anything.

use policy::{Finding, Kind, Place, Policy, Traffic};

/// How many requests a day a share should get at least.
const REQUESTS_A_DAY: f64 = 10.0;

/// Warns of each share that would get too few requests, if each endpoint gets `rate` requests a
/// second.
pub fn tiny_shares(policy: &Policy, rate: f64) -> impl Iterator<Item = Finding> {
    policy.endpoints.iter().enumerate().flat_map(move |(n, endpoint)| {
        let place = Place::root().member("endpoints").element(n);
        let mut findings = of_traffic(&place, endpoint.traffic(), rate);
        for (n, cohort) in endpoint.cohorts.iter().enumerate() {
            findings.extend(of_traffic(&place.member("cohorts").element(n), cohort.traffic(), rate));
        }
        findings
    })
}

fn of_traffic(place: &Place, traffic: &Traffic, rate: f64) -> Vec<Finding> {
    let a_day = |share: f64| rate * share * 86_400.0;
    let tiny = traffic.shares().filter(|(_, share)| a_day(*share) < REQUESTS_A_DAY);
    let finding = |(backend, share): (&std::sync::Arc<policy::Backend>, f64)| {
        let problem = format!("at {rate} requests a second this share gets {:.1} of them in a day", a_day(share));
        let remedy = "too few to distinguish a good backend from a bad one: give it a larger share, or shadow it first";
        Finding::warning(Kind::TinyShare, place.member("traffic").member(&backend.name), problem, remedy)
    };
    tiny.map(finding).collect()
}
