//! Bytes to the terms that hold no others: numbers, atoms, binaries, identifiers.

use crate::etf::decode::{DecodeError, Decoder};
use crate::etf::{Atom, Pid, Port, Reference, Term};
use bytes::{Buf, Bytes};
use num_bigint::{BigInt, Sign};

impl Decoder {
    #[inline(never)]
    pub(super) fn leaf(&mut self, tag: u8) -> Result<Term, DecodeError> {
        match tag {
            97 => Ok(Term::Int(i64::from(self.u8()?))),
            98 => Ok(Term::Int(i64::from(self.u32()? as i32))),
            99 => self.old_float(),
            70 => finite(f64::from_bits(self.u64()?)),
            100 | 115 | 118 | 119 => self.atom_of(tag).map(Term::Atom),
            106 => Ok(Term::List(Vec::new())),
            107 => self.string(),
            109 => {
                let len = self.u32()? as usize;
                self.take(len).map(Term::Binary)
            }
            77 => self.bit_binary(),
            110 => {
                let len = usize::from(self.u8()?);
                self.big(len)
            }
            111 => {
                let len = self.u32()? as usize;
                self.big(len)
            }
            88 | 103 => self.pid(tag).map(Term::Pid),
            89 | 102 | 120 => self.port(tag),
            90 | 101 | 114 => self.reference(tag),
            tag => Err(DecodeError::Tag(tag)),
        }
    }

    fn string(&mut self) -> Result<Term, DecodeError> {
        let len = usize::from(self.u16()?);
        self.spend(len)?;
        let bytes = self.take(len)?;
        Ok(Term::List(
            bytes.iter().map(|b| Term::Int(i64::from(*b))).collect(),
        ))
    }

    fn bit_binary(&mut self) -> Result<Term, DecodeError> {
        let len = self.u32()? as usize;
        let bits = self.u8()?;
        let bytes = self.take(len)?;
        match bits {
            8 if len > 0 => Ok(Term::Binary(bytes)),
            1..=7 if len > 0 => Ok(bit_string(bytes, bits)),
            0 if len == 0 => Ok(Term::Binary(bytes)),
            _ => Err(DecodeError::Malformed("bit string")),
        }
    }

    fn big(&mut self, len: usize) -> Result<Term, DecodeError> {
        if len > self.limits.big_bytes {
            return Err(DecodeError::TooBig(len));
        }
        let sign = if self.u8()? == 0 {
            Sign::Plus
        } else {
            Sign::Minus
        };
        let value = BigInt::from_bytes_le(sign, &self.take(len)?);
        Ok(i64::try_from(&value).map_or_else(|_| Term::Big(value), Term::Int))
    }

    fn old_float(&mut self) -> Result<Term, DecodeError> {
        let text = self.take(31)?;
        let end = text.iter().position(|b| *b == 0).unwrap_or(31);
        let text = std::str::from_utf8(&text[..end]).map_err(|_| DecodeError::Float)?;
        if !is_decimal(text) {
            return Err(DecodeError::Float);
        }
        finite(text.parse().map_err(|_| DecodeError::Float)?)
    }

    pub(super) fn atom(&mut self) -> Result<Atom, DecodeError> {
        let tag = self.u8()?;
        self.atom_of(tag)
    }

    fn atom_of(&mut self, tag: u8) -> Result<Atom, DecodeError> {
        let len = match tag {
            100 | 118 => usize::from(self.u16()?),
            115 | 119 => usize::from(self.u8()?),
            _ => return Err(DecodeError::Tag(tag)),
        };
        let bytes = self.input.get(..len).ok_or(DecodeError::Truncated)?;
        let atom = if matches!(tag, 100 | 115) {
            let latin1: String = bytes.iter().map(|b| char::from(*b)).collect();
            Atom::try_new(&latin1)
        } else {
            Atom::from_utf8(bytes)
        };
        self.input.advance(len);
        atom.ok_or(DecodeError::Atom)
    }

    pub(super) fn pid(&mut self, tag: u8) -> Result<Pid, DecodeError> {
        if !matches!(tag, 88 | 103) {
            return Err(DecodeError::Tag(tag));
        }
        Ok(Pid {
            node: self.atom()?,
            id: self.u32()?,
            serial: self.u32()?,
            creation: if tag == 88 {
                self.u32()?
            } else {
                self.old_creation()?
            },
        })
    }

    /// Creations of one byte had two bits; OTP refuses others.
    fn old_creation(&mut self) -> Result<u32, DecodeError> {
        match self.u8()? {
            creation @ 0..=3 => Ok(u32::from(creation)),
            _ => Err(DecodeError::Malformed("creation")),
        }
    }

    fn port(&mut self, tag: u8) -> Result<Term, DecodeError> {
        Ok(Term::Port(Port {
            node: self.atom()?,
            id: if tag == 120 {
                self.u64()?
            } else {
                u64::from(self.u32()?)
            },
            creation: if tag == 102 {
                self.old_creation()?
            } else {
                self.u32()?
            },
        }))
    }

    fn reference(&mut self, tag: u8) -> Result<Term, DecodeError> {
        let count = if tag == 101 {
            1
        } else {
            usize::from(self.u16()?)
        };
        let node = self.atom()?;
        let (creation, mut words) = match tag {
            101 => {
                let word = self.u32()?;
                (self.old_creation()?, [word, 0, 0, 0, 0])
            }
            90 => (self.u32()?, [0; 5]),
            _ => (self.old_creation()?, [0; 5]),
        };
        let all = words
            .get_mut(..count)
            .ok_or(DecodeError::Malformed("reference"))?;
        if tag != 101 {
            for word in all.iter_mut() {
                *word = self.u32()?;
            }
        }
        // OTP reads wider first words in the newest form only.
        if tag != 90 && all.first().is_some_and(|first| *first >= 1 << 18) {
            return Err(DecodeError::Malformed("reference"));
        }
        Reference::new(node, creation, all)
            .map(Term::Ref)
            .ok_or(DecodeError::Malformed("reference"))
    }
}

/// What stands beyond the end of a bit string is no part of it: bits that a peer left there are cleared, so that equal
/// bit strings are equal bytes.
fn bit_string(bytes: Bytes, bits: u8) -> Term {
    let last = bytes.len() - 1;
    let kept = bytes[last] & !(0xff >> bits);
    if bytes[last] == kept {
        return Term::BitBinary { bytes, bits };
    }
    let mut copy = bytes.to_vec();
    copy[last] = kept;
    let bytes = copy.into();
    Term::BitBinary { bytes, bits }
}

/// Whether this is a number as OTP writes it: digits, a point, digits, and perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = |part: &str| digits(part.strip_prefix(['+', '-']).unwrap_or(part));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return false;
    };
    unsigned(whole) && digits(fraction) && unsigned(exponent)
}

fn finite(value: f64) -> Result<Term, DecodeError> {
    if value.is_finite() {
        Ok(Term::Float(value))
    } else {
        Err(DecodeError::Float)
    }
}
