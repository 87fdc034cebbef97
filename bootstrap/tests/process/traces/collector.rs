//! [`Collector`]: takes spans as a collector of OpenTelemetry does, and knows just enough of its format to read them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A span as it was exported.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty if there is none.
    pub(super) parent: String,
    pub(super) state: String,
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) is_error: bool,
    /// Numbers as text.
    pub(super) attributes: BTreeMap<String, String>,
    /// The attributes of the process that exported it.
    pub(super) resource: BTreeMap<String, String>,
}

/// Takes spans until it is dropped.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let spans = Arc::new(Mutex::<Vec<Span>>::default());
        let taken = spans.clone();
        #[expect(clippy::disallowed_methods, reason = "aborted when it is dropped")]
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let spans = take(stream).await;
                taken.lock().expect("whole").extend(spans);
            }
        });
        Self { address, spans, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Every span so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("whole").clone()
    }
}

/// The spans of one export.
async fn take(stream: TcpStream) -> Vec<Span> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a line");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_ascii_lowercase()),
        }
    }
    assert_eq!(head[0], "post /v1/traces http/1.1");
    assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
    assert!(head.contains(&"x-tenant: a".to_owned()), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).await.expect("a body");
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.expect("answered");
    Message(&body).all(1).flat_map(spans_of_resource).collect()
}

fn spans_of_resource(resource: Message<'_>) -> Vec<Span> {
    let attributes = attributes(resource.one(1), 1);
    let spans = resource.all(2).flat_map(|scope| scope.all(2));
    spans.map(|span| Span { resource: attributes.clone(), ..self::span(span) }).collect()
}

fn span(span: Message<'_>) -> Span {
    Span {
        trace: hex(span.one(1)),
        id: hex(span.one(2)),
        state: text(span.one(3)),
        parent: hex(span.one(4)),
        name: text(span.one(5)),
        kind: span.number(6),
        is_error: span.one(15).number(3) == 2,
        attributes: attributes(span, 9),
        resource: BTreeMap::new(),
    }
}

fn attributes(of: Message<'_>, field: u64) -> BTreeMap<String, String> {
    let value = |value: Message<'_>| match value.one(1) {
        Message([]) => value.number(3).to_string(),
        said => text(said),
    };
    of.all(field).map(|pair| (text(pair.one(1)), value(pair.one(2)))).collect()
}

fn hex(bytes: Message<'_>) -> String {
    bytes.0.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn text(bytes: Message<'_>) -> String {
    String::from_utf8(bytes.0.to_vec()).expect("UTF-8")
}

/// A message of Protocol Buffers, or a text.
#[derive(Debug, Clone, Copy)]
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The messages of this field.
    fn all(self, field: u64) -> impl Iterator<Item = Self> {
        let fields = self.fields().into_iter().filter(move |(number, _)| *number == field);
        fields.filter_map(|(_, it)| if let Field::Bytes(bytes) = it { Some(Message(bytes)) } else { None })
    }

    /// The message of this field; an empty one if there is none.
    fn one(self, field: u64) -> Self {
        self.all(field).next().unwrap_or(Message(&[]))
    }

    /// The number of this field; 0 if there is none.
    fn number(self, field: u64) -> u64 {
        let fields = self.fields();
        let found = fields.iter().find(|(number, _)| *number == field);
        if let Some((_, Field::Number(number))) = found { *number } else { 0 }
    }

    fn fields(self) -> Vec<(u64, Field<'a>)> {
        let (mut rest, mut fields) = (self.0, Vec::new());
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut rest)),
                1 => Field::Bytes(part(&mut rest, 8)),
                2 => {
                    let length = varint(&mut rest);
                    Field::Bytes(part(&mut rest, length))
                }
                5 => Field::Bytes(part(&mut rest, 4)),
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, field));
        }
        fields
    }
}

fn part<'a>(rest: &mut &'a [u8], length: u64) -> &'a [u8] {
    let (part, after) = rest.split_at(usize::try_from(length).expect("short"));
    *rest = after;
    part
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = part(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
