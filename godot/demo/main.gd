extends Node
## The demo game: plays itself, tells sidekick everything, and shows that a restart goes on where it stopped.
##
## Every tick is one batch: a `tick` event with the world's hash and whatever happened. Every STATE_TICKS ticks the whole
## world goes along as state. A restart takes that state and plays the tail of the log again, which must give the same
## hashes. Environment: DEMO_SEED (7), DEMO_WITNESS (path, optional), DEMO_PORT (TCP, optional),
## DEMO_BALLAST (bytes of state that mean nothing, for benchmarks).

const World := preload("res://world.gd")
const Witness := preload("res://witness.gd")
const Door := preload("res://door.gd")
const STATE_TICKS := 30
## Exit code where replaying the log gave another world.
const EXIT_DIVERGED := 4

var world := World.new()
var witness := Witness.new()
var door := Door.new()
var stream := "demo/match"
var world_hash := ""
var misdeed := ""
var draining := false
## Small records per tick on top, for benchmarks.
var flood := 0


func _ready() -> void:
	var world_seed := OS.get_environment("DEMO_SEED").to_int() if OS.has_environment("DEMO_SEED") else 7
	if OS.has_environment("SIDEKICK_SERVER"):
		stream = OS.get_environment("SIDEKICK_SERVER") + "/match"
	witness.open(OS.get_environment("DEMO_WITNESS"))
	door.open(OS.get_environment("DEMO_PORT"))
	Sidekick.acknowledged.connect(func(batch: int) -> void: witness.acknowledged(Sidekick.epoch(), batch))
	Sidekick.message_received.connect(_on_message)
	Sidekick.drain_requested.connect(_on_drain)
	Sidekick.set_call_handler(_on_call)
	Sidekick.players = World.BOTS
	world.data = Sidekick.get_state("world", World.fresh(world_seed))
	_replay(Sidekick.restore_info().get("tail", []))
	var ballast := OS.get_environment("DEMO_BALLAST").to_int()
	if ballast > 0 and Sidekick.get_state("ballast") == null:
		var bytes := PackedByteArray()
		bytes.resize(ballast)
		Sidekick.set_state("ballast", bytes)
	Sidekick.report_ready()


func _physics_process(_delta: float) -> void:
	var word := door.tick("tick=%d epoch=%d" % [_tick(), Sidekick.epoch()])
	if word != "":
		misdeed = word
	if misdeed != "":
		_misbehave()
	# While records pile up the world stands still: no tick is ever lost. One that sidekick refused does not play at all.
	if draining or Sidekick.is_full() or (Sidekick.is_active() and not Sidekick.is_restored()):
		return
	var events := world.step()
	world_hash = world.hash_text()
	_record(events)
	if _tick() % 60 == 0:
		print("tick=%d hash=%s acked=%d score=%d" % [_tick(), world_hash, Sidekick.acknowledged_batch(), world.total_score()])


func _tick() -> int:
	return world.data["tick"]


func _record(events: Array) -> void:
	events.push_front({"kind": "tick", "hash": world_hash, "total": world.total_score()})
	var ids := _name(events)
	Sidekick.tick = _tick()
	var batch := Sidekick.current_batch()
	for event in events:
		Sidekick.record(stream, event)
	for number in flood:
		Sidekick.record("flood", {"tick": _tick(), "n": number})
	if _tick() % STATE_TICKS == 0 or _tick() == 1:
		Sidekick.set_state("world", world.data)
	if Sidekick.is_active():
		witness.expect(batch, _tick(), world_hash, ids)


# Gives each event its tick and its id: the same in every replay, so that outsiders can count.
func _name(events: Array) -> PackedStringArray:
	var ids := PackedStringArray()
	for number in events.size():
		ids.append("%d-%d-%d" % [world.data["seed"], _tick(), number])
		events[number]["id"] = ids[number]
		events[number]["tick"] = _tick()
	return ids


# Plays what was acknowledged after the state point once more and compares every hash and every id on the way.
func _replay(tail: Array) -> void:
	var logged := {}
	var ids := {}
	for entry in tail:
		if entry["stream"] == stream:
			var event: Dictionary = entry["value"]
			ids[event["id"]] = true
			if event["kind"] == "tick":
				logged[event["tick"]] = event["hash"]
	var verified := true
	var replayed := 0
	while logged.has(_tick() + 1):
		var events := world.step()
		events.push_front({"kind": "tick"})
		for id in _name(events):
			verified = verified and ids.erase(id)
		verified = verified and logged[_tick()] == world.hash_text()
		replayed += 1
	verified = verified and ids.is_empty() and replayed == logged.size()
	world_hash = world.hash_text()
	Sidekick.tick = _tick()
	var line := "restored tick=%d hash=%s first_tick=%d epoch=%d replayed=%d verified=%s" % [
		_tick(), world_hash, _tick() + 1, Sidekick.epoch(), replayed, verified]
	print(line)
	witness.write(line)
	if not verified:
		push_error("the replayed log does not give the recorded world")
		get_tree().quit(EXIT_DIVERGED)
		draining = true


func _status() -> Dictionary:
	return {
		"tick": _tick(), "hash": world_hash, "scores": world.data["score"], "total": world.total_score(),
		"players": World.BOTS, "match": world.data["match"], "acked": Sidekick.acknowledged_batch(),
		"epoch": Sidekick.epoch(),
	}


# From Elixir: GenServer.call({:lobby, node}, :status), {:echo, term}, {:ask, name, node, term}, :crash, :hang, ...
func _on_call(request: Variant) -> Variant:
	var words: Array = request if request is Array else [request]
	match str(words[0]) if not words.is_empty() else "":
		"tick", "status":
			return _status()
		"echo":
			return words[1] if words.size() > 1 else null
		"ask":
			if words.size() == 4:
				return await Sidekick.call_to(str(words[1]), str(words[2]), words[3])
		"flood":
			flood = int(words[1]) if words.size() > 1 else 0
			return Sidekick.atom("ok")
		"crash", "hang", "busy", "exit":
			misdeed = str(words[0])
			return Sidekick.atom("ok")
	return Sidekick.tuple([Sidekick.atom("error"), Sidekick.atom("unknown_request")])


func _on_message(message: Variant) -> void:
	print("message=", message)
	if message is String or message is StringName:
		misdeed = str(message)
	elif message is Array and not message.is_empty():
		misdeed = str(message[0])


func _on_drain(_deadline_ms: int) -> void:
	draining = true
	Sidekick.set_state("world", world.data)
	print("drained tick=%d hash=%s" % [_tick(), world_hash])
	Sidekick.report_drained()


func _misbehave() -> void:
	var deed := misdeed
	misdeed = ""
	match deed:
		"crash":
			OS.crash("the demo was asked to crash")
		"hang":
			_demo_hang_forever()
		"busy":
			Sidekick.busy(10.0)
			OS.delay_msec(4000)
		"exit":
			get_tree().quit(3)


func _demo_hang_forever() -> void:
	var turns := 0
	while true:
		turns += 1
