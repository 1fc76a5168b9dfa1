//! A request on port 69, and what the client says after it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mimeo_server::boot::tftp::{
    packet::{FileName, parse_reply, parse_request},
    transfer::{Action, Terms, Transfer, WINDOW_BLOCKS_MAX},
};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "tftp",
    whose: "anybody on the network, port 69",
    check,
    seeds,
    words: &[
        b"\0octet\0",
        b"\0netascii\0",
        b"blksize\x00",
        b"tsize\x000\0",
        b"timeout\x00",
        b"windowsize\x00",
        b"../",
        b"\\..\\",
        b"65464\0",
        b"65535\0",
        b"\xff\0\0\x04\0\x01",
    ],
    input_bytes_max: 900,
    memory_bytes_max: 1 << 20,
};

/// Reads up to the first 0xff as a request, and what follows as the client's side of the transfer: a byte of time and
/// four of a packet, again and again.
fn check(input: &[u8]) {
    let cut = input.iter().position(|byte| *byte == 0xff).unwrap_or(input.len());
    let (request, mut script) = (&input[..cut], &input[cut..]);
    let Ok(request) = parse_request(request) else { return };
    check_name(&request.name);
    let file = Bytes::from(vec![7; 3000]);
    let mut now = Instant::now();
    let (mut transfer, mut action) =
        Transfer::begin(file.clone(), Terms::agree(&request.options, Some(1500)), now);
    let mut furthest = 0;
    while let Some((step, rest)) = script.split_first_chunk::<5>() {
        script = rest;
        match action {
            Action::SendBlocks { first, last } => {
                assert!(first <= last && last - first < u64::from(WINDOW_BLOCKS_MAX), "{first} to {last}");
                assert!(first <= furthest + 1, "block {first} after {furthest}: a gap");
                furthest = furthest.max(last);
                let content: usize = (first..=last).map(|block| transfer.block(block).len()).sum();
                assert!(content <= file.len());
            }
            Action::End(_) => return,
            Action::SendOptions | Action::Wait => {}
        }
        now += Duration::from_millis(u64::from(step[0]) * 20);
        action = match parse_reply(&step[1..]) {
            Some(reply) => transfer.on_reply(reply, now),
            None => transfer.on_time(now),
        };
    }
}

/// A name leads nowhere but down, and reads back as itself.
fn check_name(name: &FileName) {
    let text = name.as_str();
    assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")), "{text:?}");
    assert!(!text.contains(['\\', '\0', '\n']), "{text:?}");
    assert_eq!(FileName::parse(text.as_bytes()).as_ref(), Ok(name));
}

fn seeds() -> Vec<Vec<u8>> {
    let requests: [&[u8]; 4] = [
        b"\0\x01boot/undionly.kpxe\0octet\0",
        b"\0\x01shimx64.efi\0octet\0tsize\x000\0blksize\x001468\0",
        b"\0\x01\\grub//grub.cfg\0netascii\0blksize\x001024\0tsize\x000\0timeout\x003\0windowsize\x008\0",
        b"\0\x02x\0mail\0",
    ];
    let answers = |request: &[u8]| {
        let mut input = [request, &[0xff]].concat();
        (0..12).for_each(|number| input.extend([number, 0, 4, 0, number]));
        input.extend(b"\xff\0\0\0\0\0\0\x05\0\0");
        input
    };
    requests.map(answers).into()
}
