//! Ports for programs that can't choose one themselves.

use std::net::{TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::bail;

/// The ports to choose from. Outgoing connections take those above.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A number of ports in a row.
#[derive(Clone, Copy, Debug)]
pub struct Ports(u16);

impl Ports {
    /// Finds `count` ports that were free a moment ago. No other call gets them, also of another
    /// process, as long as this process runs.
    ///
    /// # Errors
    /// When there are none.
    pub fn find(count: u16) -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // The programs use TCP. UDP sockets on the same ports keep other processes away.
        static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
        let length = RANGE.end - RANGE.start;
        // Each process starts at another place.
        let start = u16::try_from(process::id() % u32::from(length))?.wrapping_mul(37) % length;
        for _ in 0..length / count {
            let offset = u32::from(start) + u32::from(NEXT.fetch_add(count, Ordering::Relaxed));
            let first = RANGE.start + u16::try_from(offset % u32::from(length - count))?;
            let reserve = |port: u16| {
                let socket = UdpSocket::bind(("127.0.0.1", port)).ok()?;
                TcpListener::bind(("127.0.0.1", port)).ok().map(|_| socket)
            };
            if let Some(sockets) = (first..first + count).map(reserve).collect::<Option<Vec<_>>>() {
                RESERVED.lock().unwrap_or_else(PoisonError::into_inner).extend(sockets);
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
