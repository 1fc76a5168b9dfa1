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

#[cfg(test)]
mod tests {
    use super::{crc16, crc32, crc32_from, crc32c};

    #[test]
    fn the_catalogue_s_check_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(!crc32_from(!0, &[b"1234", b"56789"]), 0xCBF4_3926);
        assert_eq!(!crc32c(!0, &[b"123456789"]), 0xE306_9283);
        assert_eq!(crc16(&[b"12345", b"6789"]), 0x4B37);
    }

    #[test]
    fn a_crc32c_goes_on_where_another_ended() {
        let first = crc32c(!0, &[b"1234"]);
        assert_eq!(crc32c(first, &[b"56789"]), crc32c(!0, &[b"1234", b"56789"]));
    }
}
