//! The control messages that make up a call or a cast, read straight from the bytes: no term is built.
//!
//! Only the one form that OTP 26 and later write is read here. Whatever looks different is left to the general decoder,
//! which also finds the words for what is wrong; so nothing is accepted here that it would refuse.

use crate::dist::control::{Control, Target};
use crate::etf::{Atom, Pid, Reference, VERSION};

/// Reads a control message from the front of these bytes; gives how many it took.
pub(super) fn read(bytes: &[u8]) -> Option<(Control, usize)> {
    let mut cursor = Cursor(bytes);
    let [VERSION, 104, arity, 97, operation] = cursor.array()? else {
        return None;
    };
    let control = match (operation, arity) {
        (2, 3) => {
            cursor.atom()?;
            Control::Send {
                from: None,
                to: cursor.pid()?,
            }
        }
        (6, 4) => {
            let from = cursor.pid()?;
            cursor.atom()?;
            Control::RegSend {
                from,
                name: cursor.atom()?,
            }
        }
        (19, 4) => Control::Monitor {
            from: cursor.pid()?,
            target: cursor.target()?,
            reference: cursor.reference()?,
        },
        (20, 4) => Control::Demonitor {
            from: cursor.pid()?,
            target: cursor.target()?,
            reference: cursor.reference()?,
        },
        (33, 3) => Control::AliasSend {
            from: cursor.pid()?,
            alias: cursor.reference()?,
        },
        _ => return None,
    };
    Some((control, bytes.len() - cursor.0.len()))
}

/// What is still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn tag(&mut self, tag: u8) -> Option<()> {
        let [found] = self.array()?;
        (found == tag).then_some(())
    }

    /// `SMALL_ATOM_UTF8_EXT`.
    fn atom(&mut self) -> Option<Atom> {
        self.tag(119)?;
        let [len] = self.array()?;
        let (text, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Atom::from_utf8(text)
    }

    /// `NEW_PID_EXT`.
    fn pid(&mut self) -> Option<Pid> {
        self.tag(88)?;
        Some(Pid {
            node: self.atom()?,
            id: self.u32()?,
            serial: self.u32()?,
            creation: self.u32()?,
        })
    }

    /// `NEWER_REFERENCE_EXT`.
    fn reference(&mut self) -> Option<Reference> {
        self.tag(90)?;
        let count = usize::from(self.array().map(u16::from_be_bytes)?);
        let (node, creation) = (self.atom()?, self.u32()?);
        let mut words = [0; 5];
        let words = words.get_mut(..count)?;
        for word in words.iter_mut() {
            *word = self.u32()?;
        }
        Reference::new(node, creation, words)
    }

    fn target(&mut self) -> Option<Target> {
        if self.0.first() == Some(&88) {
            self.pid().map(Target::Pid)
        } else {
            self.atom().map(Target::Name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::frames;
    use crate::etf::{self, Term};
    use bytes::{Buf, Bytes, BytesMut};

    fn pid(id: u32) -> Pid {
        Pid {
            node: Atom::new("räuber@example.org"),
            id,
            serial: 7,
            creation: u32::MAX,
        }
    }

    fn reference(words: &[u32]) -> Reference {
        Reference::new(Atom::new("a@b"), 3, words).unwrap()
    }

    /// Each kind of frame that is read here, without its length and its type.
    fn messages() -> Vec<Bytes> {
        let (from, to) = (pid(1), pid(2));
        let (by_pid, by_name) = (Target::Pid(to.clone()), Target::Name(Atom::new("näme")));
        let (name, message) = (Atom::new("lobby"), Term::ok(Term::Int(1)));
        let three = reference(&[1, 2, 3]);
        let write: [&dyn Fn(&mut BytesMut); 7] = [
            &|out| frames::send(out, &to, &message),
            &|out| frames::reg_send(out, &from, &name, &message),
            &|out| frames::alias_reply(out, &from, &three, &message, &message),
            &|out| frames::monitor(out, &from, &by_pid, &three),
            &|out| frames::monitor(out, &from, &by_name, &reference(&[9])),
            &|out| frames::demonitor(out, &from, &by_pid, &reference(&[1, 2, 3, 4, 5])),
            &|out| frames::demonitor(out, &from, &by_name, &three),
        ];
        let made = write.iter().map(|write| {
            let mut out = BytesMut::new();
            write(&mut out);
            out.advance(5);
            out.freeze()
        });
        made.collect()
    }

    fn general(bytes: &Bytes) -> Option<(Control, usize)> {
        let mut rest = bytes.clone();
        let control = Control::parse(etf::decode_prefix(&mut rest).ok()?)?;
        Some((control, bytes.len() - rest.len()))
    }

    #[test]
    fn what_otp_writes_is_read_as_the_general_decoder_reads_it() {
        for message in messages() {
            let read = read(&message);
            assert!(read.is_some());
            assert_eq!(read, general(&message));
        }
    }

    #[test]
    fn nothing_is_read_that_the_general_decoder_refuses_or_reads_otherwise() {
        let mut read_too = 0;
        for message in messages() {
            for at in 0..message.len() {
                let cut = message.slice(..at);
                let read_cut = read(&cut);
                assert!(read_cut.is_none() || read_cut == general(&cut));
                for byte in 0..=u8::MAX {
                    let mut changed = BytesMut::from(&message[..]);
                    changed[at] = byte;
                    let changed = changed.freeze();
                    let read = read(&changed);
                    read_too += usize::from(read.is_some());
                    assert!(read.is_none() || read == general(&changed));
                }
            }
        }
        assert!(read_too > 10_000);
    }
}
