//! What is shown of LVM2, as rows of the table.

use super::Single;

/// Carried by use.
pub(super) const LIVES: &[Single] = &[
    (
        "LVM2",
        "linear volumes whose extents lie between each other's: ext4, XFS, swap",
        "lvm.rs",
        "each_volume_is_mapped_by_the_file_system_in_it_also_where_their_extents_lie_between_each_other_s",
    ),
    ("LVM2", "striped volumes: ext4, XFS", "lvm.rs", "stripes_are_put_together_and_taken_apart"),
    (
        "LVM2",
        "a group in two partitions of one disk",
        "../engine/lvm.rs",
        "a_group_in_two_partitions_of_one_disk_arrives_whole",
    ),
    (
        "LVM2",
        "two copies of the metadata, in rings that have gone round",
        "lvm.rs",
        "both_copies_of_the_metadata_count_and_a_description_goes_round_the_end_of_its_ring",
    ),
    (
        "LVM2",
        "free extents, an exported group, a physical volume of no group",
        "lvm/refused.rs",
        "what_no_group_has_is_free_and_what_a_group_exported_is_not",
    ),
    (
        "LVM2",
        "a file system shorter than its volume, of which the rest is carried too",
        "lvm/inside.rs",
        "what_stands_behind_a_file_system_in_a_volume_is_carried",
    ),
];

/// Volumes that are carried byte by byte.
pub(super) const RAW: &[Single] = &[
    (
        "volumes of LVM2",
        "thin pools, snapshots and their origins, RAID, caches, moving volumes",
        "lvm.rs",
        "what_is_made_of_volumes_or_part_of_one_is_carried_byte_by_byte",
    ),
    (
        "volumes of LVM2",
        "with segments on several physical volumes",
        "lvm/refused.rs",
        "physical_volumes_of_one_disk_know_their_group_from_each_other",
    ),
    (
        "volumes of LVM2",
        "LUKS, BitLocker, a member of a RAID: named `group/volume` in the warning",
        "lvm/inside.rs",
        "volumes_that_are_encrypted_or_one_of_several_are_told_by_their_names_where_they_begin",
    ),
    ("volumes of LVM2", "a group in a volume", "lvm.rs", "a_group_in_a_volume_is_carried_byte_by_byte"),
];

pub(super) const REFUSED: &[Single] = &[
    (
        "LVM2",
        "a group of which a part is on another disk",
        "lvm/refused.rs",
        "a_group_with_a_part_elsewhere_is_refused_by_its_name",
    ),
    (
        "LVM2",
        "a volume that was not closed, or in which Linux sleeps",
        "lvm/refused.rs",
        "a_file_system_in_a_volume_must_be_at_rest_and_the_volume_is_named",
    ),
];
