//! The blocks that the file system itself occupies, known without any bitmap.

use super::{group::Group, superblock::Superblock};

/// Superblocks, group descriptors, bitmaps and inode tables: runs of blocks in order, disjoint.
pub(super) struct Structures {
    /// First block and the block behind the last.
    runs: Vec<(u64, u64)>,
}

impl Structures {
    pub(super) fn of(superblock: &Superblock, groups: &[Group]) -> Self {
        let mut runs = Vec::with_capacity(groups.len() * 4);
        for (number, group) in (0..).zip(groups) {
            let (start, count) = superblock.head_blocks(number);
            runs.push((
                start,
                (start + count).min(superblock.group_start(number) + superblock.group_blocks(number)),
            ));
            runs.push((group.block_bitmap, group.block_bitmap + 1));
            runs.push((group.inode_bitmap, group.inode_bitmap + 1));
            runs.push((group.inode_table, group.inode_table + superblock.inode_table_blocks));
        }
        runs.retain(|(start, end)| start < end);
        runs.sort_unstable();
        runs.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1;
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
        Self { runs }
    }

    /// The runs that lie in or reach into the blocks from `start` to before `end`, cut to them.
    pub(super) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.runs.partition_point(|run| run.1 <= start);
        self.runs[first..]
            .iter()
            .take_while(move |run| run.0 < end)
            .map(move |run| (run.0.max(start), run.1.min(end)))
    }
}
