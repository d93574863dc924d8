extends RefCounted
## What the game has recorded and sidekick has not acknowledged: numbered batches, in order, bounded.
##
## A batch stays here until it is acknowledged. After a reconnect those that sidekick lacks are sent again in order;
## their numbers make that harmless.

const Link := preload("link.gd")

## Everything held, in bytes; beyond it records are refused.
const BYTES_MAX := 64 << 20
## Sealed batches held.
const BATCHES_MAX := 65536

## Number of the last batch that was closed.
var sealed := 0
## Number of the last batch handed to the link.
var sent := 0
## Number of the last batch that is on disk.
var acked := 0
## Bytes of sealed batches that are not acknowledged.
var bytes := 0
## Records refused since the start because everything was full.
var refused := 0

## What sidekick granted in its welcome.
var window_batches := 1
var window_bytes := 1 << 20
var batch_bytes := 4 << 20

var _frames := {}
var _sent_bytes := 0
var _events: Array = []
var _put := {}
var _delete := {}
var _pending_bytes := 0


## Number of the batch that takes what is recorded now.
func current() -> int:
	return sealed + 1


## Number of the last batch that holds anything.
func last() -> int:
	return sealed if _is_empty() else sealed + 1


func held_bytes() -> int:
	return bytes + _pending_bytes


func in_flight() -> int:
	return sealed - acked


## Takes an event (already in bytes). 0 where it does not fit, else the number of its batch.
func add_event(stream: String, value: PackedByteArray) -> int:
	if not _make_room(value.size() + stream.length()):
		return 0
	_events.append(stream)
	_events.append(value)
	return current()


## Takes a state change. The last one of a tick counts.
func add_put(key: String, value: PackedByteArray) -> int:
	if not _make_room(value.size() + key.length()):
		return 0
	_forget_put(key)
	_delete.erase(key)
	_put[key] = value
	return current()


func add_delete(key: String) -> int:
	_forget_put(key)
	_delete[key] = true
	return current()


## Closes the batch of this tick, if there is anything in it.
func seal(tick: int) -> void:
	if _is_empty() or in_flight() >= BATCHES_MAX:
		return
	sealed += 1
	var put: Array = []
	for key in _put:
		put.append(key)
		put.append(_put[key])
	var message := {"type": "batch", "batch": sealed, "tick": tick}
	if not _events.is_empty():
		message["events"] = _events
	if not put.is_empty():
		message["put"] = put
	if not _delete.is_empty():
		message["delete"] = _delete.keys()
	var frame := Link.frame(message)
	_frames[sealed] = frame
	bytes += frame.size()
	_events = []
	_put = {}
	_delete = {}
	_pending_bytes = 0


## The next frame the window allows; empty where none is.
func next_frame() -> PackedByteArray:
	if sent >= sealed:
		return PackedByteArray()
	var frame: PackedByteArray = _frames[sent + 1]
	var open := sent - acked
	if open > 0 and (open >= window_batches or _sent_bytes + frame.size() > window_bytes):
		return PackedByteArray()
	sent += 1
	_sent_bytes += frame.size()
	return frame


## Everything up to `batch` is on disk. True where that is news.
func acknowledge(batch: int) -> bool:
	if batch <= acked or batch > sealed:
		return false
	for number in range(acked + 1, batch + 1):
		var size: int = _frames[number].size()
		_frames.erase(number)
		bytes -= size
		if number <= sent:
			_sent_bytes -= size
	acked = batch
	sent = maxi(sent, batch)
	return true


## A process begins: its numbers go on after `batch`.
func begin(batch: int) -> void:
	sealed = batch
	sent = batch
	acked = batch


## A connection begins again: whatever is not acknowledged has to be sent again.
func rewind() -> void:
	sent = acked
	_sent_bytes = 0


func _forget_put(key: String) -> void:
	if _put.has(key):
		_pending_bytes -= _put[key].size() + key.length()
		_put.erase(key)


func _is_empty() -> bool:
	return _events.is_empty() and _put.is_empty() and _delete.is_empty()


func _make_room(size: int) -> bool:
	if held_bytes() + size > BYTES_MAX or size > batch_bytes:
		refused += 1
		return false
	if _pending_bytes + size > batch_bytes:
		seal(0)
	_pending_bytes += size
	return true
