//! Arguments → library → exit status.

fn main() {}
