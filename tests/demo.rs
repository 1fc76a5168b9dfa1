//! `make demo`: the main job with virtual PCs under real firmware, in front of you.
fn main() {}
