//! The few primitives of the on-disk format: little-endian integers, names with a length byte, payloads with a
//! length word. Shared by records and index values; `docs/FORMAT.md` describes them for other readers.

/// Appends fields to a buffer.
pub(in crate::buffer) trait Put {
    fn u8(&mut self, value: u8);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    /// 1 to 255 bytes behind a length byte.
    fn name(&mut self, name: &[u8]);
    /// Bytes behind a 32-bit length.
    fn blob(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }
    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn name(&mut self, name: &[u8]) {
        debug_assert!(name.len() <= 255, "names are checked when they are made");
        self.push(name.len() as u8);
        self.extend_from_slice(name);
    }
    fn blob(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.extend_from_slice(bytes);
    }
}

/// A record body did not have the documented form although its checksum held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Malformed(pub &'static str);

/// Takes fields off a slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::buffer) struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .0
            .split_at_checked(n)
            .ok_or(Malformed("a field goes beyond the record"))?;
        self.0 = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Malformed("a field goes beyond the record"))?;
        self.0 = tail;
        Ok(*head)
    }
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }
    pub fn name(&mut self) -> Result<&'a [u8], Malformed> {
        match self.u8()? {
            0 => Err(Malformed("a name is empty")),
            n => self.bytes(usize::from(n)),
        }
    }
    pub fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.u32()?;
        self.bytes(n as usize)
    }
    /// A count of things that take at least `least` bytes each: bounded by the bytes that remain.
    pub fn count(&mut self, least: usize) -> Result<u32, Malformed> {
        let n = self.u32()?;
        if n as usize > self.0.len() / least.max(1) {
            return Err(Malformed("a count is larger than the record"));
        }
        Ok(n)
    }
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes are left over"))
        }
    }
}
