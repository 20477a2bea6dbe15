//! The golden vectors, which pin the placement of keys.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use policy::placement::Salt;
use policy::shadow::Draw;
use policy::{Backend, Traffic};
use serde::Deserialize;
use testbed::policies::traffic;
use testbed::{project, read};

#[derive(Deserialize)]
struct Golden {
    points: Vec<GoldenPoint>,
    choices: Vec<GoldenChoice>,
    variants: Vec<GoldenVariant>,
    shadows: Vec<GoldenShadow>,
}

#[derive(Deserialize)]
struct GoldenPoint {
    salt: String,
    key_hex: String,
    point: String,
}

#[derive(Deserialize)]
struct GoldenChoice {
    traffic: BTreeMap<String, f64>,
    point: String,
    backend: String,
}

#[derive(Deserialize)]
struct GoldenVariant {
    traffic: BTreeMap<String, f64>,
    variants: BTreeMap<String, String>,
    point: String,
    backend: String,
}

#[derive(Deserialize)]
struct GoldenShadow {
    draw: String,
    backend: String,
    fraction: f64,
    copied: bool,
}

fn golden() -> Golden {
    let text = read("tests/data/golden/placement.json").unwrap();
    serde_json::from_str(&text).unwrap()
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap()
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|n| u8::from_str_radix(&digits[n..n + 2], 16).unwrap()).collect()
}

#[test]
fn the_golden_vectors_hold() {
    let golden = golden();
    assert!(
        golden.points.len() > 50
            && golden.choices.len() > 500
            && golden.variants.len() > 200
            && golden.shadows.len() > 200
    );
    for row in &golden.points {
        assert_eq!(Salt::new(&row.salt).point(&bytes(&row.key_hex)), hex(&row.point), "{} {}", row.salt, row.key_hex);
    }
    for row in &golden.choices {
        let traffic = traffic(row.traffic.iter().map(|(name, share)| (name, *share)));
        assert_eq!(*traffic.choose(hex(&row.point)).name, row.backend, "{:?} {}", row.traffic, row.point);
    }
    for row in &golden.variants {
        let shares = row.traffic.iter().map(|(name, share)| {
            let mut backend: Backend = name.parse().unwrap();
            if let Some(variant) = row.variants.get(name) {
                backend.variant = variant.parse().unwrap();
            }
            (Arc::new(backend), *share)
        });
        let traffic = Traffic::new(shares).unwrap();
        assert_eq!(*traffic.choose(hex(&row.point)).name, row.backend, "{:?} {}", row.traffic, row.point);
    }
    for row in &golden.shadows {
        let draw = Draw::new(&row.backend, row.fraction);
        assert_eq!(draw.takes(hex(&row.draw)), row.copied, "{} {} {}", row.backend, row.fraction, row.draw);
    }
}

#[test]
fn the_golden_vectors_are_those_of_the_python_program() {
    let output =
        Command::new("python3").arg("placement.py").current_dir(project().join("tests/data/golden")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::read(project().join("tests/data/golden/placement.json")).unwrap();
    assert!(output.stdout == file, "tests/data/golden/placement.json is not current");
}
