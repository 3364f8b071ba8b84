//! Publishes what no client library would: AMQP by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const CONFIRMED: (u16, u16) = (60, 80);

/// Publishes a durable message whose id is not UTF-8 into that queue, and waits until the broker has it.
pub(super) async fn publish(port: u16, queue: &str) {
    let mut broker = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    broker.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    answer(&mut broker, (10, 10)).await;
    let login = [
        &[0; 4][..],
        &short(b"PLAIN"),
        &[0, 0, 0, 12],
        b"\0guest\0guest",
        &short(b"en_US"),
    ];
    send(&mut broker, 0, METHOD, &method(10, 11, &login.concat())).await;
    answer(&mut broker, (10, 30)).await;
    let tuned = [0, 8, 0, 2, 0, 0, 0, 0];
    send(&mut broker, 0, METHOD, &method(10, 31, &tuned)).await;
    let open = [&short(b"/")[..], &short(b""), &[0]].concat();
    send(&mut broker, 0, METHOD, &method(10, 40, &open)).await;
    answer(&mut broker, (10, 41)).await;
    send(&mut broker, 1, METHOD, &method(20, 10, &short(b""))).await;
    answer(&mut broker, (20, 11)).await;
    send(&mut broker, 1, METHOD, &method(85, 10, &[0])).await;
    answer(&mut broker, (85, 11)).await;

    let to = [&[0, 0][..], &short(b""), &short(queue.as_bytes()), &[0]].concat();
    send(&mut broker, 1, METHOD, &method(60, 40, &to)).await;
    // Two properties: the delivery mode, and the id.
    let flags = 0x1000_u16 | 0x0080;
    let header = [
        &[0, 60, 0, 0][..],
        &2_u64.to_be_bytes(),
        &flags.to_be_bytes(),
        &[2],
        &short(&[0xff, 0xfe, 0xfd]),
    ];
    send(&mut broker, 1, HEADER, &header.concat()).await;
    send(&mut broker, 1, BODY, b"{}").await;
    answer(&mut broker, CONFIRMED).await;
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn method(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat()
}

async fn send(broker: &mut TcpStream, channel: u16, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap();
    let frame = [
        &[kind][..],
        &channel.to_be_bytes(),
        &length.to_be_bytes(),
        payload,
        &[0xce],
    ];
    broker.write_all(&frame.concat()).await.unwrap();
}

/// Reads one frame, which must be that method.
async fn answer(broker: &mut TcpStream, expected: (u16, u16)) {
    let mut head = [0; 7];
    broker.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes(head[3..].try_into().unwrap());
    let mut rest = vec![0; usize::try_from(length).unwrap() + 1];
    broker.read_exact(&mut rest).await.unwrap();
    let method = (
        u16::from_be_bytes([rest[0], rest[1]]),
        u16::from_be_bytes([rest[2], rest[3]]),
    );
    assert_eq!((head[0], method), (METHOD, expected));
}
