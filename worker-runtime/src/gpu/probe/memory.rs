//! The memory of a device as four figures.

use shared::byte_size::ByteSize;

/// The memory of a device. Each figure is the driver's own: none is made from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it, in bytes.
    pub total: ByteSize,
    /// What the driver keeps for itself, in bytes; none where an old driver does not tell.
    pub reserved: ByteSize,
    /// What is in use, in bytes.
    pub used: ByteSize,
    /// What nobody holds, in bytes.
    pub free: ByteSize,
}
