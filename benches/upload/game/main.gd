extends Node
## Records in each tick when it did so, and at the end when each record's acknowledgement was seen.

const RECORDS := 900

var _made := 0
## When the record of a batch was made, for those without an acknowledgement, in order.
var _sent := {}
var _delays := []


func _ready() -> void:
	Sidekick.acknowledged.connect(_on_acknowledged)
	Sidekick.report_ready()


func _physics_process(_delta: float) -> void:
	if _made == RECORDS or not Sidekick.is_restored():
		return
	_made += 1
	var now := _now_us()
	_sent[Sidekick.current_batch()] = now
	Sidekick.record("latency", {"sent": now})


# An acknowledgement covers all batches up to its own.
func _on_acknowledged(batch: int) -> void:
	var now := _now_us()
	for sent: int in _sent.keys():
		if sent <= batch:
			_delays.append(now - _sent[sent])
			_sent.erase(sent)
	if _delays.size() == RECORDS:
		Sidekick.record("acknowledged", {"delays": _delays})
		_delays.clear()


func _now_us() -> int:
	return int(Time.get_unix_time_from_system() * 1_000_000.0)
