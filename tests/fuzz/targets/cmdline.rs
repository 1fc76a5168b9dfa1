//! The kernel command line, out of which the client reads its server and its token.

use mimeo_client::boot::cmdline::BootOrders;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "cmdline",
    whose: "the boot loader",
    check,
    seeds: || vec![format!("quiet mimeo.server=10.0.0.1:443 mimeo.token={}\n", "ab".repeat(32)).into_bytes()],
    words: &[b"mimeo.server=", b"mimeo.token=", b"[::1]:443", b"[fe80::1%2]:1"],
    input_bytes_max: 2048,
    memory_bytes_max: 1 << 20,
};

/// What was read, written again, is read as the same.
fn check(input: &[u8]) {
    let cmdline = String::from_utf8_lossy(input);
    let Ok(orders) = BootOrders::parse(&cmdline) else { return };
    let again = format!("mimeo.server={} mimeo.token={}", orders.server, orders.token.reveal());
    assert_eq!(BootOrders::parse(&again), Ok(orders));
}
