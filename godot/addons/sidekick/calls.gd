extends RefCounted
## Calls to the cluster that wait for their answers.


class Pending:
	extends RefCounted
	signal done(outcome: Dictionary)
	var deadline_ms := 0


var _pending := {}
var _last := 0


## The id of the next call.
func next_id() -> int:
	_last += 1
	return _last


## Notes that a call waits; its `done` tells the outcome.
func open(id: int, timeout_ms: int) -> Pending:
	var pending := Pending.new()
	# Sidekick itself answers "timeout" in time; the extra second is for the case that it cannot.
	pending.deadline_ms = Time.get_ticks_msec() + timeout_ms + 1000
	_pending[id] = pending
	return pending


## Takes an `answer` message; one to a call that is over is dropped.
func settle(message: Dictionary) -> void:
	var pending: Pending = _pending.get(message["id"])
	if pending == null:
		return
	_pending.erase(message["id"])
	if message.has("error"):
		pending.done.emit(failure(message["error"], message.get("message", "")))
	else:
		pending.done.emit({"ok": true, "value": message["value"]})


## Ends those that are over their time.
func expire() -> void:
	if _pending.is_empty():
		return
	var now := Time.get_ticks_msec()
	for id in _pending.keys():
		var pending: Pending = _pending[id]
		if now > pending.deadline_ms:
			_pending.erase(id)
			pending.done.emit(failure("timeout", "no answer in time"))


## Ends all: the connection is gone, their outcome is unknown.
func fail_all(code: String, text: String) -> void:
	var failed := _pending
	_pending = {}
	for id in failed:
		failed[id].done.emit(failure(code, text))


## What a failed call gives.
static func failure(code: String, text: String) -> Dictionary:
	return {"ok": false, "error": code, "message": text}
