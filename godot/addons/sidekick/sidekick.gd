extends Node
## The game's side of sidekick, as the autoload `Sidekick`.
##
## [codeblock]
## func _ready() -> void:
##     world = Sidekick.get_state("world", new_world())   # what the last process had acknowledged
##     Sidekick.report_ready()
##
## func _physics_process(_delta: float) -> void:
##     step(world)
##     Sidekick.record("match", {"tick": world.tick, "score": world.score})
##     Sidekick.set_state("world", world)
## [/codeblock]
##
## Started by sidekick (which sets SIDEKICK_SOCKET or SIDEKICK_ADDR, SIDEKICK_TOKEN and SIDEKICK_SERVER), the autoload
## connects before the first node enters the tree and waits there until the state is restored: a game never plays from
## an empty world by mistake. After that nothing here blocks a frame. Started without sidekick it warns once and does nothing.
##
## A standby waits there too, with its main scene loaded: bind ports in `_ready` or later, and again until it works.
##
## All records and state changes of one physics tick make one batch, which is kept or lost as a whole. Values must be plain
## data: no Object, Callable, Signal or RID anywhere inside.

## State is restored. Emitted in the first physics tick before any other node's, so the game's first tick sees it.
## `info` has epoch, batch, last_epoch, last_batch, fresh (no state was there), tail (the events after the last
## state change, each with stream, seq, at_ms, value), tail_cut and standby (this process waited as a standby).
signal restored(state: Dictionary, info: Dictionary)
## Every batch up to and including `batch` is on disk.
signal acknowledged(batch: int)
## Items of a batch could not be kept: they held something that is not plain data. Each is [list, index, reason].
signal rejected(batch: int, items: Array)
## A process of the cluster sent a message to this server.
signal message_received(value: Variant)
## The game should finish, save, and call `report_drained()` within the deadline. Where nobody listens that happens by itself.
signal drain_requested(deadline_ms: int)
## Records pile up (true) or no longer (false). A game that cannot bear to lose records pauses its simulation meanwhile.
signal backpressure_changed(full: bool)
## The connection was lost or is back.
signal connection_changed(connected: bool)

signal _stirred

const Link := preload("link.gd")
const Outbox := preload("outbox.gd")
const Late := preload("late.gd")
const Calls := preload("calls.gd")
const Pulse := preload("pulse.gd")

const BACKOFF_MS_MIN := 20
const BACKOFF_MS_MAX := 500
const HANDSHAKE_MS_MAX := 10000
## More than this is not queued on the socket: batches wait in the outbox instead.
const LINK_BYTES_MAX := 1 << 20
## Messages other than batches are dropped beyond this.
const MESSAGE_BYTES_MAX := 8 << 20
## Exit code of a process that sidekick refuses for good.
const EXIT_REFUSED := 70

enum Phase { INERT, WAITING, CONNECTING, GREETING, RESTORING, LIVE, REFUSED }

## The game's own tick number, if it has one: goes into batches, beats and `playing`.
var tick := 0
## Players, if the game counts them (-1: not told).
var players := -1

var _phase := Phase.INERT
var _socket_path := ""
var _address := ""
var _server := ""
var _token := ""
var _standby := false
var _epoch := 0
var _link := Link.new()
var _outbox := Outbox.new()
var _state := {}
var _info := {}
var _tail: Array = []
var _is_restored := false
var _announced := false
var _playing_sent := false
var _late := Late.new()
var _retry_at_ms := 0
var _backoff_ms := BACKOFF_MS_MIN
var _deadline_ms := 0
var _connected := false
var _generation := 0
var _full := false
var _server_full := false
var _handler := Callable()
var _calls := Calls.new()
var _pulse := Pulse.new()


func _enter_tree() -> void:
	process_mode = Node.PROCESS_MODE_ALWAYS
	process_priority = -1000000
	process_physics_priority = -1000000
	_late.work = _end_of_tick
	_late.process_physics_priority = 1000000
	add_child(_late)
	_socket_path = OS.get_environment("SIDEKICK_SOCKET")
	_address = OS.get_environment("SIDEKICK_ADDR")
	_server = OS.get_environment("SIDEKICK_SERVER")
	_token = OS.get_environment("SIDEKICK_TOKEN")
	_standby = OS.get_environment("SIDEKICK_STANDBY") == "1"
	if _server == "" or (_socket_path == "" and _address == ""):
		push_warning("Sidekick: not started by sidekick; nothing is recorded, nothing restored")
		return
	_phase = Phase.WAITING
	_wait_for_restore()


func _exit_tree() -> void:
	if _phase != Phase.LIVE:
		return
	_outbox.seal(tick)
	var until := Time.get_ticks_msec() + 200
	while _outbox.sent < _outbox.sealed or _link.queued_bytes > 0:
		_service()
		if _phase != Phase.LIVE or Time.get_ticks_msec() > until:
			return
		OS.delay_usec(500)


func _process(_delta: float) -> void:
	_pulse.frame()
	_service()


func _physics_process(_delta: float) -> void:
	if _is_restored and not _announced:
		_announced = true
		restored.emit(_state, _info)


# --- What games use -------------------------------------------------------------------------------------------------


## Whether sidekick started this process.
func is_active() -> bool:
	return _phase != Phase.INERT


## Whether the state is restored (or there was none), so that play may begin.
func is_restored() -> bool:
	return _is_restored


## Whether records pile up; see `backpressure_changed`.
func is_full() -> bool:
	return _full


## What the restore told; see the signal `restored`.
func restore_info() -> Dictionary:
	return _info


## Tells that the game is open for players.
func report_ready() -> void:
	_send({"type": "ready"})


## Appends an event to a stream. Gives the number of its batch (see `acknowledged`), or 0 where it was not taken.
func record(stream: String, value: Variant) -> int:
	if not _accepts(value):
		return 0
	return _taken(_outbox.add_event(stream, var_to_bytes(value)))


## Sets a state key. Gives the number of its batch, or 0 where it was not taken.
func set_state(key: String, value: Variant) -> int:
	if not _accepts(value):
		return 0
	var batch := _taken(_outbox.add_put(key, var_to_bytes(value)))
	if batch > 0:
		_state[key] = value
	return batch


## Removes a state key.
func erase_state(key: String) -> int:
	if _phase == Phase.INERT:
		return 0
	_state.erase(key)
	return _outbox.add_delete(key)


## The value of a state key, as restored or set since.
func get_state(key: String, default: Variant = null) -> Variant:
	return _state.get(key, default)


## Number of the batch that takes what is recorded now.
func current_batch() -> int:
	return _outbox.current()


## Number of the last batch that is on disk.
func acknowledged_batch() -> int:
	return _outbox.acked


## The epoch of this process.
func epoch() -> int:
	return _epoch


## Waits until everything recorded so far is on disk. False where that will never be.
func flush() -> bool:
	var target := _outbox.last()
	while _outbox.acked < target:
		if _phase == Phase.INERT or _phase == Phase.REFUSED:
			return false
		await _stirred
	return _phase != Phase.INERT


## Announces work that holds up the main loop: no hang is judged for so long. 0 ends it early.
func busy(seconds: float) -> void:
	_beat(int(seconds * 1000.0))


## Sends a message to a registered process of the cluster. False where it cannot be sent now.
func send_to(process: String, node: String, value: Variant) -> bool:
	if not Link.is_plain(value):
		return false
	return _send({"type": "send", "name": process, "node": node, "value": var_to_bytes(value)})


## Calls a registered gen server of the cluster. Gives {"ok": true, "value": reply} or {"ok": false, "error": code, "message": text}.
func call_to(process: String, node: String, value: Variant, timeout := 5.0) -> Dictionary:
	if not Link.is_plain(value):
		return Calls.failure("unsupported_value", "not plain data")
	var id := _calls.next_id()
	var timeout_ms := maxi(1, int(timeout * 1000.0))
	var sent := _send({
		"type": "call", "id": id, "name": process, "node": node, "timeout_ms": timeout_ms,
		"value": var_to_bytes(value),
	})
	if not sent:
		return Calls.failure("not_connected", "sidekick is not connected")
	var pending := _calls.open(id, timeout_ms)
	return await pending.done


## Sets who answers calls from the cluster: a callable that takes the request and returns the reply; it may await.
func set_call_handler(handler: Callable) -> void:
	_handler = handler


## Tells that the game has finished draining, once everything is on disk, and ends the process.
func report_drained() -> void:
	await flush()
	_send({"type": "drained"})
	_link.write()
	get_tree().quit(0)


## An Erlang atom, in what `send_to`, `call_to` and the call handler send. Strings stay binaries.
static func atom(text: String) -> Dictionary:
	return {"$atom": text}


## An Erlang tuple, in what `send_to`, `call_to` and the call handler send. Arrays stay lists.
static func tuple(elements: Array) -> Dictionary:
	return {"$tuple": elements}


# --- The session ----------------------------------------------------------------------------------------------------

# Before play this may block: there is nothing to play yet. Without an end, because a world that was not restored must
# not be played; whoever started the process ends it if it takes too long.
func _wait_for_restore() -> void:
	var complain_at := Time.get_ticks_msec() + 2000
	while not _is_restored and _phase != Phase.REFUSED:
		_service()
		if _standby and _phase == Phase.GREETING and _link.queued_bytes == 0:
			_link.wait()  # The welcome comes when this process takes over.
			complain_at = Time.get_ticks_msec() + 2000
			continue
		if Time.get_ticks_msec() > complain_at:
			complain_at += 10000
			push_warning("Sidekick: waiting for sidekick at " + (_socket_path if _socket_path != "" else _address))
		OS.delay_usec(300)


func _end_of_tick() -> void:
	if _phase == Phase.INERT or not _is_restored:
		return
	if not _playing_sent:
		if _late.main_scene_is_broken():
			return
		_playing_sent = _send({"type": "playing", "tick": tick})
	_outbox.seal(tick)
	if _pulse.is_due():
		_beat(0)
	_service()
	_judge_full()


func _service() -> void:
	var now := Time.get_ticks_msec()
	match _phase:
		Phase.INERT, Phase.REFUSED:
			return
		Phase.WAITING:
			if now >= _retry_at_ms:
				if _link.open(_socket_path, _address):
					_phase = Phase.CONNECTING
					_deadline_ms = now + HANDSHAKE_MS_MAX
				else:
					_lose()
			return
		Phase.CONNECTING, Phase.GREETING, Phase.RESTORING:
			if now > _deadline_ms and not (_standby and _phase == Phase.GREETING):
				_lose()
				return
	var status := _link.poll()
	if status == "connected" and _phase == Phase.CONNECTING:
		_greet()
	if status == "connected":
		for message in _link.read():
			_take(message)
	if _phase == Phase.LIVE:
		while _link.queued_bytes < LINK_BYTES_MAX:
			var frame := _outbox.next_frame()
			if frame.is_empty():
				break
			_link.push(frame)
	if status == "closed" and _phase != Phase.REFUSED and _phase != Phase.WAITING:
		_lose()
	elif status == "connected":
		_link.write()
	_calls.expire()


func _greet() -> void:
	_link.push(Link.hello(_server, _token, _epoch, _is_restored))
	_phase = Phase.GREETING


func _lose() -> void:
	var was_connected := _connected
	_link.close()
	_generation += 1
	_connected = false
	_server_full = false
	_phase = Phase.WAITING
	_retry_at_ms = Time.get_ticks_msec() + _backoff_ms + randi() % 10
	_backoff_ms = mini(_backoff_ms * 2, BACKOFF_MS_MAX)
	_calls.fail_all("not_connected", "the connection to sidekick was lost")
	if was_connected:
		connection_changed.emit(false)


func _take(message: Dictionary) -> void:
	match message.get("type", ""):
		"welcome":
			_take_welcome(message)
		"state":
			var entries: Array = message["entries"]
			for index in range(0, entries.size(), 2):
				_state[entries[index]] = entries[index + 1]
		"tail":
			for event in message["events"]:
				_tail.append({"stream": event[0], "seq": event[1], "at_ms": event[2], "value": event[3]})
		"restored":
			_info["tail"] = _tail
			_info["fresh"] = _state.is_empty() and _tail.is_empty()
			_is_restored = true
			_go_live()
		"ack":
			_acknowledge(message["batch"])
		"rejected":
			push_error("Sidekick: data in batch %d was not kept: %s" % [message["batch"], message["items"]])
			rejected.emit(message["batch"], message["items"])
		"full":
			_server_full = message["full"]
			_judge_full()
		"call":
			_answer_call(message["id"], message["value"])
		"message":
			message_received.emit(message["value"])
		"answer":
			_calls.settle(message)
		"drain":
			if drain_requested.get_connections().is_empty():
				report_drained()
			else:
				drain_requested.emit(message["deadline_ms"])
		"refused":
			_take_refused(message["code"], message["message"], message["retry"])


func _take_welcome(message: Dictionary) -> void:
	_epoch = message["epoch"]
	_outbox.window_batches = message["window_batches"]
	_outbox.window_bytes = message["window_bytes"]
	_outbox.batch_bytes = message["batch_bytes"]
	var batch: int = message["batch"]
	if message["restore"]:
		_state = {}
		_tail = []
		_info = {
			"epoch": _epoch, "batch": batch, "last_epoch": message["last_epoch"],
			"last_batch": message["last_batch"], "tail_cut": message["tail_cut"], "standby": _standby,
		}
		_deadline_ms = Time.get_ticks_msec() + HANDSHAKE_MS_MAX
		_outbox.begin(batch)
		_phase = Phase.RESTORING
		return
	if batch < _outbox.acked or batch > _outbox.sealed:
		var known := [batch, _outbox.acked, _outbox.sealed]
		_take_refused("lost", "sidekick knows batch %d, this process %d to %d" % known, false)
		return
	_acknowledge(batch)
	_outbox.rewind()
	_go_live()


func _go_live() -> void:
	_phase = Phase.LIVE
	_connected = true
	_backoff_ms = BACKOFF_MS_MIN
	_pulse.hurry()
	connection_changed.emit(true)


func _take_refused(code: String, text: String, retry: bool) -> void:
	if retry:
		push_warning("Sidekick: refused for now (%s): %s" % [code, text])
		return
	push_error("Sidekick: refused (%s): %s; this process must not play on and ends" % [code, text])
	_phase = Phase.REFUSED
	_link.close()
	_connected = false
	_calls.fail_all(code, text)
	_stirred.emit()
	get_tree().quit(EXIT_REFUSED)


func _acknowledge(batch: int) -> void:
	if _outbox.acknowledge(batch):
		acknowledged.emit(batch)
		_stirred.emit()


func _judge_full() -> void:
	var held := _outbox.held_bytes()
	var limit := Outbox.BYTES_MAX / 4 if _full else Outbox.BYTES_MAX / 2
	var full := _server_full or held > limit
	if full != _full:
		_full = full
		backpressure_changed.emit(full)


func _beat(busy_ms: int) -> void:
	var beat := _pulse.beat()
	beat["tick"] = tick
	beat["busy_ms"] = busy_ms
	beat["in_flight"] = _outbox.in_flight()
	if players >= 0:
		beat["players"] = players
	if _send(beat):
		_link.write()

func _answer_call(id: int, request: Variant) -> void:
	if not _handler.is_valid():
		_send({"type": "reply", "id": id, "error": "the script has set no call handler"})
		return
	var generation := _generation
	var reply = await _handler.call(request)
	if generation != _generation:
		return  # The caller's session is over, and the next one counts its calls anew.
	if Link.is_plain(reply):
		_send({"type": "reply", "id": id, "value": var_to_bytes(reply)})
	else:
		_send({"type": "reply", "id": id, "error": "the script's reply is not plain data"})


# --- Small things ---------------------------------------------------------------------------------------------------


func _send(message: Dictionary) -> bool:
	if _phase != Phase.LIVE or _link.queued_bytes > MESSAGE_BYTES_MAX:
		return false
	_link.push(Link.frame(message))
	return true


func _accepts(value: Variant) -> bool:
	return _phase != Phase.INERT and _phase != Phase.REFUSED and Link.is_plain(value)


func _taken(batch: int) -> int:
	if batch == 0:
		_judge_full()
		push_error("Sidekick: a record was not taken: too much is waiting for sidekick, or it is too large")
	return batch
