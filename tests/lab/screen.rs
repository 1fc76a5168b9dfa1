//! What stands on a PC's screen in text mode, read from the adapter's memory as the monitor would.
//!
//! Firmware, iPXE and Linux write to the screen of a BIOS machine in this mode; Linux moves the window over the memory
//! instead of the text, so all of the memory is read, also what has just scrolled away. On UEFI the screen is a
//! picture ([`crate::vm::Machine::screenshot`]).

/// Where text mode's memory is, and how long (VGA, colour).
pub(crate) const MEMORY_START: u64 = 0xb_8000;
pub(crate) const MEMORY_BYTES: u64 = 0x8000;

const COLUMNS: usize = 80;

/// The rows of that memory as text: a character and its colours alternate, in code page 437, of which only the letters
/// that are ASCII are told.
pub(crate) fn rows(memory: &[u8]) -> String {
    let characters: Vec<u8> = memory.iter().step_by(2).copied().collect();
    let mut text = String::new();
    for row in characters.chunks(COLUMNS) {
        let row: String = row.iter().map(|&byte| visible(byte)).collect();
        let row = row.trim_end();
        if !row.is_empty() {
            text.push_str(row);
            text.push('\n');
        }
    }
    text
}

fn visible(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_without_colours_and_without_empty_ones() {
        let mut memory = vec![0; MEMORY_BYTES as usize];
        for (column, byte) in b"Mimeo - PC".iter().enumerate() {
            memory[2 * column..2 * column + 2].copy_from_slice(&[*byte, 0x07]);
        }
        memory[2 * COLUMNS * 3] = b'3';
        assert_eq!(rows(&memory), "Mimeo - PC\n3\n");
    }
}
