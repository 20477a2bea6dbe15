//! The corpus of `tests/data/hostile`, as bytes: requests in HTTP/1.1, and frames of HTTP/2.

use serde::Deserialize;
use serde_json::Value;
use testbed::read;

use super::frames::{ACK, END_HEADERS, END_STREAM, MAX_FRAME, PREFACE, flag, frame, frames, kind, literal};

/// Bytes. In a string each character up to U+00FF stands for one byte, `•` for every byte in turn,
/// and `№` for the number of the repetition that it is in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Times { times: usize, of: Box<Text> },
    Parts(Vec<Text>),
}

/// A header, or the same one many times.
#[derive(Deserialize)]
#[serde(untagged)]
enum Header {
    One(Text, Text),
    Times { times: usize, of: (Text, Text) },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    /// The type of the frame: a name of RFC 9113, or `•`.
    kind: Option<String>,
    /// Names, or `•`. By default a frame with headers ends headers and stream, and any other has no
    /// flags.
    flags: Option<String>,
    stream: Option<u32>,
    payload: Option<Text>,
    /// These headers after those of a GET request.
    get: Option<Vec<Header>>,
    /// These headers only.
    headers: Option<Vec<Header>>,
    /// The size in bytes after which the header block continues in CONTINUATION.
    piece: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    rule: String,
    text: Option<Text>,
    frames: Option<Vec<Frame>>,
    /// How often the frames are sent, each time on the next stream.
    rounds: Option<u32>,
    #[serde(default)]
    stays_open: bool,
}

/// The bytes for one connection.
pub(super) struct Hostile {
    pub(super) rule: String,
    pub(super) bytes: Vec<u8>,
    /// The last stream of HTTP/2, or `None` for HTTP/1.1.
    last_stream: Option<u32>,
    /// Whether Envoy is expected to keep the connection open without an answer.
    pub(super) stays_open: bool,
}

/// The values of `•` and `№`.
#[derive(Clone, Copy)]
struct Fill {
    byte: u8,
    number: usize,
}

const EVERY: char = '•';
/// The corpus in groups. A case without `•` is a group of one. A case with `•` gives 256 requests,
/// in groups of sixteen.
pub(super) fn corpus() -> impl Iterator<Item = Vec<Hostile>> {
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
            // The answer to this shows that everything before it has been read.
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

impl Hostile {
    /// Whether no more answer will come until Envoy closes the connection.
    pub(super) fn is_answered(&self, answer: &[u8]) -> bool {
        let Some(last_stream) = self.last_stream else { return false };
        let (mut is_read, mut is_over) = (false, self.stays_open);
        for (name, flags, stream, _) in frames(answer) {
            is_read |= name == "PING" && flags & ACK != 0;
            is_over |= stream >= last_stream
                && (name == "RST_STREAM" || matches!(name, "DATA" | "HEADERS") && flags & END_STREAM != 0);
        }
        is_read && is_over
    }

    /// The outcome: the status of the answer, or how the connection or stream ended without one.
    pub(super) fn outcome(&self, answer: &[u8], is_closed: bool) -> String {
        let unanswered = || if is_closed { "closed" } else { "no answer" }.to_owned();
        if self.last_stream.is_none() {
            let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
            return status.map_or_else(unanswered, |status| String::from_utf8_lossy(status).into_owned());
        }
        // 200, 400 and 404 are single bytes in HPACK. A DATA frame that follows belongs to the
        // answer.
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
