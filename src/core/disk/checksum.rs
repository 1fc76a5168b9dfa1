//! The checksums that partition tables and file systems carry.

use crc::{Algorithm, CRC_16_MODBUS, CRC_32_ISCSI, CRC_32_ISO_HDLC, Crc, Table};

/// CRC-32 of a GPT header or of its entries (UEFI 2.10, 5.3.2).
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// CRC-32 as F2FS uses it: continued from `seed`, without the final inversion.
pub(super) fn crc32_from(seed: u32, parts: &[&[u8]]) -> u32 {
    const UNINVERTED: Algorithm<u32> = Algorithm { xorout: 0, ..CRC_32_ISO_HDLC };
    const CRC: Crc<u32> = Crc::<u32>::new(&UNINVERTED);
    // The crate takes the initial register in the unreflected bit order.
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// CRC-32C as ext4 uses it: continued from `seed`, without the final inversion.
pub(super) fn crc32c(seed: u32, parts: &[&[u8]]) -> u32 {
    const UNINVERTED: Algorithm<u32> = Algorithm { xorout: 0, ..CRC_32_ISCSI };
    // Sixteen tables: block bitmaps are checked at the speed at which a disk delivers them.
    static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&UNINVERTED);
    // The crate takes the initial register in the unreflected bit order.
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// CRC-16 as ext4 uses it for group descriptors without `metadata_csum`: it starts from all ones.
pub(super) fn crc16(parts: &[&[u8]]) -> u16 {
    const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// xxHash64 with seed 0 (xxHash fast digest algorithm, version 0.1.1).
pub(super) fn xxhash64(bytes: &[u8]) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut hash = match stripes {
        [] => XX[4],
        stripes => xx_stripes(stripes),
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= xx_round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(XX[0]).wrapping_add(XX[3]);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(XX[0]);
        hash = hash.rotate_left(23).wrapping_mul(XX[1]).wrapping_add(XX[2]);
    }
    for &byte in rest {
        hash ^= u64::from(byte).wrapping_mul(XX[4]);
        hash = hash.rotate_left(11).wrapping_mul(XX[0]);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(XX[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(XX[2]);
    hash ^ hash >> 32
}

/// The five primes of xxHash64.
const XX: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

fn xx_round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(XX[1])).rotate_left(31).wrapping_mul(XX[0])
}

/// Four lanes over stripes of 32 bytes, merged.
fn xx_stripes(stripes: &[[u8; 32]]) -> u64 {
    let mut lanes = [XX[0].wrapping_add(XX[1]), XX[1], 0, XX[0].wrapping_neg()];
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = xx_round(*lane, u64::from_le_bytes(*word));
        }
    }
    let turned = [1, 7, 12, 18].into_iter().zip(lanes).map(|(bits, lane)| lane.rotate_left(bits));
    let merged = turned.fold(0, u64::wrapping_add);
    lanes
        .into_iter()
        .fold(merged, |hash, lane| (hash ^ xx_round(0, lane)).wrapping_mul(XX[0]).wrapping_add(XX[3]))
}

#[cfg(test)]
mod tests {
    use super::{crc16, crc32, crc32_from, crc32c, xxhash64};

    #[test]
    fn the_catalogue_s_check_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(!crc32_from(!0, &[b"1234", b"56789"]), 0xCBF4_3926);
        assert_eq!(!crc32c(!0, &[b"123456789"]), 0xE306_9283);
        assert_eq!(crc16(&[b"12345", b"6789"]), 0x4B37);
    }

    #[test]
    fn xxhash64_of_known_bytes() {
        // From the reference implementation's command line tool: xxh64sum.
        assert_eq!(xxhash64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxhash64(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxhash64(b"123456789"), 0x8CB8_41DB_40E6_AE83);
    }

    #[test]
    fn a_crc32c_goes_on_where_another_ended() {
        let first = crc32c(!0, &[b"1234"]);
        assert_eq!(crc32c(first, &[b"56789"]), crc32c(!0, &[b"1234", b"56789"]));
    }
}
