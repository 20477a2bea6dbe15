//! Ports for programs that can't choose one themselves.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

/// The ports to choose from. Outgoing connections take those above.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A number of ports in a row.
#[derive(Clone, Copy, Debug)]
pub struct Ports(u16);

impl Ports {
    /// Finds `count` ports that were free a moment ago. No other call of this process gets them.
    ///
    /// # Errors
    /// When there are none.
    pub fn find(count: u16) -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let length = RANGE.end - RANGE.start;
        // Each process starts at another place.
        let start = u16::try_from(process::id() % u32::from(length))?;
        for _ in 0..length / count {
            let offset = NEXT.fetch_add(count, Ordering::Relaxed);
            let first = RANGE.start + start.wrapping_mul(37).wrapping_add(offset) % (length - count);
            let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if (first..first + count).all(is_free) {
                return Ok(Self(first));
            }
        }
        bail!("no {count} ports in a row are free")
    }

    /// The port with this number, from 0.
    pub fn nth(self, n: u16) -> u16 {
        self.0 + n
    }
}
