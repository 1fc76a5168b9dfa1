//! Devices' own descriptions against the patterns of drivers.

use mimeo_client::boot::modalias::ModuleTables;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "modalias",
    whose: "the computer's devices; depmod",
    check,
    seeds,
    words: &[b"alias ", b"pci:v00008086d", b"[0-9]", b"[!a-c]", b"[]]", b"virtio:d", b".ko: ", b"*?*"],
    // A pattern of stars against a text takes the product of their lengths.
    input_bytes_max: 4096,
    memory_bytes_max: 4 << 20,
};

/// Four parts, apart by zero bytes: a device, `modules.alias`, `modules.dep`, `modules.softdep`.
fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.splitn(4, '\0');
    let mut part = || parts.next().unwrap_or_default();
    let (device, alias, dependencies, soft) = (part(), part(), part(), part());
    let tables = ModuleTables::parse(alias, dependencies, soft);
    for module in tables.claimants(device) {
        let order = tables.load_order(module);
        assert!(order.is_empty() || order.len() <= dependencies.len());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let tables = "\0alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\nalias pci:v00008086d0000015[0-5]*sv*sd*bc* e1000e\n\
        alias virtio:d00000001v* virtio_net\n\0kernel/drivers/net/virtio_net.ko: kernel/net/core/failover.ko\n\
        kernel/drivers/net/e1000/e1000.ko:\n\0softdep virtio_net pre: e1000\n";
    ["virtio:d00000001v00001AF4", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00"]
        .map(|device| format!("{device}{tables}").into_bytes())
        .into()
}
