//! Frames of HTTP/2 as bytes.

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const KINDS: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];
const FLAGS: [(&str, u8); 5] =
    [("END_STREAM", 0x1), ("ACK", 0x1), ("END_HEADERS", 0x4), ("PADDED", 0x8), ("PRIORITY", 0x20)];
pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
/// The largest frame that a server accepts by default.
pub(super) const MAX_FRAME: usize = 1 << 14;

/// The number of a frame type.
pub(super) fn kind(name: &str) -> u8 {
    let at = KINDS.iter().position(|known| *known == name).unwrap_or_else(|| panic!("no frame type {name}"));
    at as u8
}

/// The bit of a flag.
pub(super) fn flag(name: &str) -> u8 {
    FLAGS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no flag {name}")).1
}

/// Appends a frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(payload);
}

/// Appends a header as HPACK's literal without indexing and without Huffman coding.
pub(super) fn literal(name: &[u8], value: &[u8], into: &mut Vec<u8>) {
    into.push(0);
    for text in [name, value] {
        // An integer with a prefix of seven bits.
        let mut rest = text.len();
        if rest < 127 {
            into.push(rest as u8);
        } else {
            into.push(127);
            rest -= 127;
            while rest >= 128 {
                into.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            into.push(rest as u8);
        }
        into.extend_from_slice(text);
    }
}

/// Type, flags, stream and payload of each whole frame in `bytes`.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (&'static str, u8, u32, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<9>()?;
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(size)?;
        bytes = rest;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((KINDS.get(usize::from(head[3])).copied().unwrap_or("unknown"), head[4], stream, payload))
    })
}
