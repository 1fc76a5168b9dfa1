//! Many machines at once.

use std::{net::Ipv4Addr, time::Duration};

use mimeo_lab::dhcp_load::start_machines;
use mimeo_server::boot::dhcp::settings::{Mode, Settings};

use super::net::{Net, Service, settings};

/// More machines than two classrooms; what a thousand cost is for the bench.
const MACHINES: usize = 200;

#[test]
fn two_hundred_machines_that_start_at_once_all_get_an_address() {
    let net = Net::create("load");
    let pool = Some(Ipv4Addr::new(10, 77, 1, 0)..=Ipv4Addr::new(10, 77, 4, 255));
    let settings = Settings { pool, prefix: 16, ..settings(Mode::Pxe) };
    let _service = Service::start(&net.ours, settings, &net.folder.path().join("mimeo.db"));
    let load = net.client.run(|| start_machines(MACHINES, Duration::from_secs(60))).unwrap().unwrap();
    assert_eq!((load.served, load.answers), (MACHINES, 2 * MACHINES), "{load:?}");
}
