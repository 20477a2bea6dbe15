//! The corpus as bytes: requests in HTTP/1.1 as they stand, and frames of HTTP/2.

use serde::Deserialize;
use serde_json::Value;
use testbed::read;

/// Bytes. Of a string each character up to U+00FF stands for one byte, `•` for every byte in turn, and `№` for the
/// number of the repetition that it stands in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Times { times: usize, of: Box<Text> },
    Parts(Vec<Text>),
}

/// A header, or many.
#[derive(Deserialize)]
#[serde(untagged)]
enum Header {
    One(Text, Text),
    Times { times: usize, of: (Text, Text) },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    /// Its type: a name of RFC 9113, or `•`.
    kind: Option<String>,
    /// Names, or `•`. Without them a frame with headers ends headers and stream, and another has none.
    flags: Option<String>,
    stream: Option<u32>,
    payload: Option<Text>,
    /// The headers of a GET, and these.
    get: Option<Vec<Header>>,
    /// These headers and no others.
    headers: Option<Vec<Header>>,
    /// The header block goes on in CONTINUATION after so many bytes.
    piece: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    rule: String,
    text: Option<Text>,
    frames: Option<Vec<Frame>>,
    /// The frames are sent so often, each time on the next stream.
    rounds: Option<u32>,
    #[serde(default)]
    stays_open: bool,
}

/// What is sent on one connection.
pub(crate) struct Hostile {
    pub(crate) rule: String,
    pub(crate) bytes: Vec<u8>,
    /// The last stream of HTTP/2; `None` for HTTP/1.1.
    last_stream: Option<u32>,
    /// Whether it is over while the client still waits.
    pub(crate) stays_open: bool,
}

/// What stands for `•` and `№`.
#[derive(Clone, Copy)]
struct Fill {
    byte: u8,
    number: usize,
}

const EVERY: char = '•';
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
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
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// The largest frame that a server takes unless it says otherwise.
const MAX_FRAME: usize = 1 << 14;

/// The corpus: every case, and for each `•` in one every byte, sixteen at a time.
pub(crate) fn corpus() -> impl Iterator<Item = Vec<Hostile>> {
    const AT_ONCE: u8 = 16;
    let cases = ["tests/data/hostile/http1.json", "tests/data/hostile/http2.json"].into_iter().flat_map(|file| {
        let cases: Vec<Value> = serde_json::from_str(&read(file).unwrap()).unwrap();
        cases.into_iter().map(move |case| (file, case))
    });
    cases.flat_map(|(file, case)| {
        let is_of_every_byte = case.to_string().contains(EVERY);
        let case: Case = serde_json::from_value(case).unwrap_or_else(|error| panic!("{file}: {error}"));
        let firsts = if is_of_every_byte { (0..=u8::MAX).step_by(AT_ONCE.into()).collect() } else { vec![0] };
        let last = if is_of_every_byte { AT_ONCE - 1 } else { 0 };
        firsts.into_iter().map(move |first| (first..=first + last).map(|byte| case.hostile(byte)).collect())
    })
}

impl Case {
    fn hostile(&self, byte: u8) -> Hostile {
        let fill = Fill { byte, number: 0 };
        let mut bytes = Vec::new();
        let mut last_stream = None;
        if let Some(text) = &self.text {
            text.write(fill, &mut bytes);
        }
        if let Some(frames) = &self.frames {
            bytes.extend_from_slice(PREFACE);
            frame(kind("SETTINGS"), 0, 0, &[], &mut bytes);
            for round in 0..self.rounds.unwrap_or(1) {
                for frame in frames {
                    let stream = frame.stream.unwrap_or(1 + 2 * round);
                    last_stream = last_stream.max(Some(stream));
                    frame.write(stream, fill, &mut bytes);
                }
            }
            // Whoever answers this has read all that stands before it.
            frame(kind("PING"), 0, 0, b"all read", &mut bytes);
        }
        let rule = format!("{}: {}", if last_stream.is_some() { "HTTP/2" } else { "HTTP/1.1" }, self.rule);
        Hostile { rule, bytes, last_stream, stays_open: self.stays_open }
    }
}

impl Text {
    fn write(&self, fill: Fill, into: &mut Vec<u8>) {
        match self {
            Self::One(text) => {
                for character in text.chars() {
                    match character {
                        EVERY => into.push(fill.byte),
                        '№' => into.extend_from_slice(fill.number.to_string().as_bytes()),
                        other => into.push(u8::try_from(other).unwrap()),
                    }
                }
            }
            Self::Times { times, of } => (0..*times).for_each(|number| of.write(Fill { number, ..fill }, into)),
            Self::Parts(parts) => parts.iter().for_each(|part| part.write(fill, into)),
        }
    }

    fn bytes(&self, fill: Fill) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(fill, &mut bytes);
        bytes
    }
}

impl Frame {
    fn write(&self, stream: u32, fill: Fill, into: &mut Vec<u8>) {
        let number = |name: &str| if name.starts_with(EVERY) { fill.byte } else { kind(name) };
        let flags = self.flags.as_deref().map(|names| match names {
            "•" => fill.byte,
            names => names.split_whitespace().map(flag).fold(0, |flags, flag| flags | flag),
        });
        let (Some(headers), is_get) = (self.get.as_ref().or(self.headers.as_ref()), self.get.is_some()) else {
            let payload = self.payload.as_ref().map(|payload| payload.bytes(fill)).unwrap_or_default();
            frame(self.kind.as_deref().map(number).unwrap(), flags.unwrap_or(0), stream, &payload, into);
            return;
        };
        let mut block = Vec::new();
        if is_get {
            for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")] {
                literal(name.as_bytes(), value.as_bytes(), &mut block);
            }
        }
        for header in headers {
            let (times, (name, value)) = match header {
                Header::One(name, value) => (1, (name, value)),
                Header::Times { times, of: (name, value) } => (*times, (name, value)),
            };
            for number in 0..times {
                let fill = if times == 1 { fill } else { Fill { number, ..fill } };
                literal(&name.bytes(fill), &value.bytes(fill), &mut block);
            }
        }
        let flags = flags.unwrap_or(END_STREAM | END_HEADERS);
        let size = self.piece.unwrap_or(MAX_FRAME);
        let pieces: Vec<_> = if block.is_empty() { vec![block.as_slice()] } else { block.chunks(size).collect() };
        for (n, piece) in pieces.iter().enumerate() {
            let ends = if n + 1 == pieces.len() { flags & END_HEADERS } else { 0 };
            let (name, flags) = if n == 0 { ("HEADERS", flags & !END_HEADERS | ends) } else { ("CONTINUATION", ends) };
            frame(kind(name), flags, stream, piece, into);
        }
    }
}

fn kind(name: &str) -> u8 {
    let at = KINDS.iter().position(|known| *known == name).unwrap_or_else(|| panic!("no frame type {name}"));
    at as u8
}

fn flag(name: &str) -> u8 {
    FLAGS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no flag {name}")).1
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(payload);
}

/// A header as HPACK's literal without indexing, without Huffman.
fn literal(name: &[u8], value: &[u8], into: &mut Vec<u8>) {
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

impl Hostile {
    /// Whether Envoy has said all that it will say before it closes the connection.
    pub(crate) fn is_answered(&self, answer: &[u8]) -> bool {
        let Some(last_stream) = self.last_stream else { return false };
        let (mut is_read, mut is_over) = (false, self.stays_open);
        for (name, flags, stream, _) in frames(answer) {
            is_read |= name == "PING" && flags & ACK != 0;
            is_over |= stream >= last_stream
                && (name == "RST_STREAM" || matches!(name, "DATA" | "HEADERS") && flags & END_STREAM != 0);
        }
        is_read && is_over
    }

    /// How it was answered: with a status, or how else it ended.
    pub(crate) fn outcome(&self, answer: &[u8], is_closed: bool) -> String {
        let unanswered = || if is_closed { "closed" } else { "no answer" }.to_owned();
        if self.last_stream.is_none() {
            let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
            return status.map_or_else(unanswered, |status| String::from_utf8_lossy(status).into_owned());
        }
        // 200, 400 and 404 are single bytes of HPACK. A DATA frame that follows belongs to the answer.
        let status = |payload: &[u8]| match payload.first() {
            Some(0x88) => "200",
            Some(0x8c) => "400",
            Some(0x8d) => "404",
            _ => "another status",
        };
        let found = |wanted: &str| frames(answer).find(|(name, ..)| *name == wanted);
        if let Some((.., payload)) = found("HEADERS") {
            return status(payload).to_owned();
        }
        let kinds = ["RST_STREAM", "GOAWAY"];
        kinds.into_iter().find(|name| found(name).is_some()).map_or_else(unanswered, str::to_owned)
    }
}

/// Type, flags, stream and payload of each frame that has come whole.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (&'static str, u8, u32, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<9>()?;
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(size)?;
        bytes = rest;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((KINDS.get(usize::from(head[3])).copied().unwrap_or("unknown"), head[4], stream, payload))
    })
}
