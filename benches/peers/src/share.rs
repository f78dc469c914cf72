//! Which node of the private cluster has a key: CRC16, and slots shared out evenly in the order of the nodes.
//! It knows no hash tags: no key of the data set has one.

use std::ops::RangeInclusive;

/// How many nodes the cluster has, all of them primaries.
pub const NODES: usize = 3;

const SLOTS: usize = 16_384;

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The node that has `key`.
pub fn owner(key: &str) -> usize {
    slot(key) * NODES / SLOTS
}

/// The slots of a node.
pub fn slots(node: usize) -> RangeInclusive<usize> {
    let first = |node: usize| (node * SLOTS).div_ceil(NODES);
    first(node)..=first(node + 1) - 1
}

fn slot(key: &str) -> usize {
    let step = |crc: u16, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)];
    usize::from(key.bytes().fold(0, step)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_the_nodes_that_has_its_keys() {
        assert_eq!(slot("123456789"), 12_739);
        let shared: Vec<_> = (0..NODES).flat_map(|node| slots(node).map(move |slot| (slot, node))).collect();
        let owners: Vec<_> = (0..SLOTS).map(|slot| (slot, slot * NODES / SLOTS)).collect();
        assert_eq!(shared, owners);
    }
}
