//! Frames that we send: each function appends one whole frame to a buffer.

use crate::dist::control::Target;
use crate::etf::{self, Atom, Pid, Reference, Term, VERSION};
use bytes::{BufMut, BytesMut};

/// `SEND`: a message to a pid.
pub fn send(out: &mut BytesMut, to: &Pid, message: &Term) {
    frame(out, Some(message), |out| {
        start(out, 2, 3);
        put_unused(out);
        etf::put_pid(to, out);
    });
}

/// `REG_SEND`: a message to a registered name.
pub fn reg_send(out: &mut BytesMut, from: &Pid, name: &Atom, message: &Term) {
    frame(out, Some(message), |out| {
        start(out, 6, 4);
        etf::put_pid(from, out);
        put_unused(out);
        etf::put_atom(name, out);
    });
}

/// `ALIAS_SEND`: the message `{Tag, Reply}` to an alias. The tuple need not be made for it.
pub fn alias_reply(out: &mut BytesMut, from: &Pid, alias: &Reference, tag: &Term, reply: &Term) {
    whole(out, |out| {
        start(out, 33, 3);
        etf::put_pid(from, out);
        etf::put_ref(alias, out);
        out.put_u8(VERSION);
        etf::put_tuple_header(2, out);
        etf::encode_into(tag, out);
        etf::encode_into(reply, out);
    });
}

/// `LINK`.
pub fn link(out: &mut BytesMut, from: &Pid, to: &Pid) {
    frame(out, None, |out| {
        start(out, 1, 3);
        etf::put_pid(from, out);
        etf::put_pid(to, out);
    });
}

/// `UNLINK_ID_ACK`.
pub fn unlink_ack(out: &mut BytesMut, id: &Term, from: &Pid, to: &Pid) {
    frame(out, None, |out| {
        start(out, 36, 4);
        etf::encode_into(id, out);
        etf::put_pid(from, out);
        etf::put_pid(to, out);
    });
}

/// `EXIT`: a linked process ended.
pub fn exit(out: &mut BytesMut, from: &Pid, to: &Pid, reason: &Term) {
    exit_kind(out, 3, from, to, reason);
}

/// `EXIT2`: `exit/2`.
pub fn exit2(out: &mut BytesMut, from: &Pid, to: &Pid, reason: &Term) {
    exit_kind(out, 8, from, to, reason);
}

fn exit_kind(out: &mut BytesMut, operation: i64, from: &Pid, to: &Pid, reason: &Term) {
    frame(out, None, |out| {
        start(out, operation, 4);
        etf::put_pid(from, out);
        etf::put_pid(to, out);
        etf::encode_into(reason, out);
    });
}

/// `MONITOR_P`.
pub fn monitor(out: &mut BytesMut, from: &Pid, target: &Target, reference: &Reference) {
    monitor_kind(out, 19, from, target, reference);
}

/// `DEMONITOR_P`.
pub fn demonitor(out: &mut BytesMut, from: &Pid, target: &Target, reference: &Reference) {
    monitor_kind(out, 20, from, target, reference);
}

fn monitor_kind(
    out: &mut BytesMut,
    operation: i64,
    from: &Pid,
    target: &Target,
    reference: &Reference,
) {
    frame(out, None, |out| {
        start(out, operation, 4);
        etf::put_pid(from, out);
        put_target(target, out);
        etf::put_ref(reference, out);
    });
}

/// `MONITOR_P_EXIT`: a monitored process ended.
pub fn monitor_exit(
    out: &mut BytesMut,
    from: &Target,
    to: &Pid,
    reference: &Reference,
    reason: &Term,
) {
    frame(out, None, |out| {
        start(out, 21, 5);
        put_target(from, out);
        etf::put_pid(to, out);
        etf::put_ref(reference, out);
        etf::encode_into(reason, out);
    });
}

/// `SPAWN_REPLY`: flags 1 for a link, 2 for a monitor; the result is a pid, or an atom that says why not.
pub fn spawn_reply(out: &mut BytesMut, id: &Reference, to: &Pid, flags: i64, result: &Target) {
    frame(out, None, |out| {
        start(out, 31, 5);
        etf::put_ref(id, out);
        etf::put_pid(to, out);
        etf::put_int(flags, out);
        put_target(result, out);
    });
}

fn put_target(target: &Target, out: &mut BytesMut) {
    match target {
        Target::Pid(pid) => etf::put_pid(pid, out),
        Target::Name(name) => etf::put_atom(name, out),
    }
}

/// The field that once was the cookie: the empty atom.
fn put_unused(out: &mut BytesMut) {
    out.put_slice(&[119, 0]);
}

fn start(out: &mut BytesMut, operation: i64, arity: usize) {
    out.put_u8(VERSION);
    etf::put_tuple_header(arity, out);
    etf::put_int(operation, out);
}

fn frame(out: &mut BytesMut, payload: Option<&Term>, control: impl FnOnce(&mut BytesMut)) {
    whole(out, |out| {
        control(out);
        if let Some(payload) = payload {
            out.put_u8(VERSION);
            etf::encode_into(payload, out);
        }
    });
}

/// A frame around what `write` appends.
fn whole(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    out.put_u8(super::link::PASS_THROUGH);
    write(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}
