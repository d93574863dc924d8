extends SceneTree
## Tests of the addon's parts that need no sidekick (run by tests/godot_addon.rs).

const Outbox := preload("res://addons/sidekick/outbox.gd")
const Link := preload("res://addons/sidekick/link.gd")

var checks := 0
var failures := 0


func _init() -> void:
	_batches_are_numbered_and_sent_within_the_window()
	_a_rewind_sends_the_unacknowledged_again_in_order()
	_the_last_change_of_a_tick_counts()
	_what_does_not_fit_is_refused_and_counted()
	_large_ticks_are_split()
	_sealing_stops_at_the_bound_and_loses_nothing()
	_values_are_taken_as_they_are_now()
	_a_frame_is_what_put_var_writes()
	print("done checks=%d failures=%d" % [checks, failures])
	quit(1 if failures > 0 else 0)


func _batches_are_numbered_and_sent_within_the_window() -> void:
	var outbox := _filled(5)
	outbox.window_batches = 2
	check(outbox.sealed == 5 and outbox.in_flight() == 5, "five batches")
	check(_numbers(outbox) == [1, 2], "only the window is sent")
	check(outbox.acknowledge(1), "an acknowledgement is news")
	check(not outbox.acknowledge(1), "the same one is not")
	check(not outbox.acknowledge(99), "nor is one of the future")
	check(_numbers(outbox) == [3], "the window moves")
	check(outbox.acknowledge(3) and _numbers(outbox) == [4, 5], "acknowledgements are cumulative")
	check(outbox.acknowledge(5) and outbox.bytes == 0 and outbox.held_bytes() == 0, "nothing is held in the end")
	outbox = _filled(3)
	outbox.window_batches = 100
	outbox.window_bytes = 1
	check(_numbers(outbox) == [1], "one batch goes whatever the window's bytes")


func _a_rewind_sends_the_unacknowledged_again_in_order() -> void:
	var outbox := _filled(6)
	outbox.window_batches = 100
	check(_numbers(outbox) == [1, 2, 3, 4, 5, 6], "all are sent")
	outbox.acknowledge(2)
	outbox.acknowledge(4)
	outbox.rewind()
	check(_numbers(outbox) == [5, 6], "what is not acknowledged is sent again")
	outbox.acknowledge(6)
	check(outbox.bytes == 0, "and counted once")
	outbox.begin(41)
	outbox.add_event("s", var_to_bytes(1))
	outbox.seal(0)
	check(outbox.sealed == 42, "numbers go on after what sidekick knows")


func _the_last_change_of_a_tick_counts() -> void:
	var outbox := Outbox.new()
	for value in 10:
		outbox.add_put("world", var_to_bytes(value))
	outbox.add_put("other", var_to_bytes(1))
	outbox.add_delete("other")
	outbox.add_delete("third")
	outbox.add_put("third", var_to_bytes(3))
	outbox.seal(7)
	var message := _message(outbox.next_frame())
	check(message["put"] == ["world", var_to_bytes(9), "third", var_to_bytes(3)], "puts: %s" % [message["put"]])
	check(message["delete"] == ["other"], "deletes: %s" % [message["delete"]])
	check(message["tick"] == 7 and not message.has("events"), "and nothing else")
	outbox.seal(8)
	check(outbox.sealed == 1, "an empty tick makes no batch")


func _what_does_not_fit_is_refused_and_counted() -> void:
	var outbox := Outbox.new()
	outbox.batch_bytes = 1000
	check(outbox.add_event("s", _blob(1001)) == 0 and outbox.refused == 1, "too large for any batch")
	var taken := 0
	outbox.batch_bytes = 1 << 20
	while outbox.add_event("s", _blob(1 << 19)) > 0:
		taken += 1
	check(outbox.held_bytes() <= Outbox.BYTES_MAX + 100000 and taken >= 126, "%d taken, %d held" % [taken, outbox.held_bytes()])
	check(outbox.refused == 2, "the refusal is counted")


func _large_ticks_are_split() -> void:
	var outbox := Outbox.new()
	outbox.batch_bytes = 1000
	var batches: Array = []
	for index in 5:
		batches.append(outbox.add_event("s", _blob(400)))
	outbox.seal(1)
	check(batches == [1, 1, 2, 2, 3], "batches %s" % [batches])


func _sealing_stops_at_the_bound_and_loses_nothing() -> void:
	var outbox := Outbox.new()
	outbox.sealed = Outbox.BATCHES_MAX
	outbox.add_event("s", var_to_bytes("kept"))
	outbox.seal(1)
	check(outbox.sealed == Outbox.BATCHES_MAX and outbox.last() == Outbox.BATCHES_MAX + 1, "it waits unsealed")
	outbox.acked = 1
	outbox.seal(2)
	check(outbox.sealed == Outbox.BATCHES_MAX + 1, "and is sealed once there is room")


func _values_are_taken_as_they_are_now() -> void:
	var outbox := Outbox.new()
	var value := {"score": 1}
	outbox.add_event("s", var_to_bytes(value))
	value["score"] = 2
	outbox.seal(1)
	var events: Array = _message(outbox.next_frame())["events"]
	check(bytes_to_var(events[1]) == {"score": 1}, "the value of then")


func _a_frame_is_what_put_var_writes() -> void:
	var message := {"type": "beat", "tick": 3, "list": [1, 2.5, "x"]}
	var peer := StreamPeerBuffer.new()
	peer.put_var(message)
	check(Link.frame(message) == peer.data_array, "frame")


func _filled(count: int) -> Outbox:
	var outbox := Outbox.new()
	for index in count:
		outbox.add_event("s", var_to_bytes(index))
		outbox.seal(index)
	return outbox


func _numbers(outbox: Outbox) -> Array:
	var numbers: Array = []
	while true:
		var frame := outbox.next_frame()
		if frame.is_empty():
			return numbers
		numbers.append(_message(frame)["batch"])
	return numbers


func _message(frame: PackedByteArray) -> Dictionary:
	return bytes_to_var(frame.slice(4))


func _blob(size: int) -> PackedByteArray:
	var bytes := PackedByteArray()
	bytes.resize(size - 1)
	return bytes


func check(holds: bool, what: String) -> void:
	checks += 1
	if not holds:
		failures += 1
		printerr("FAILED: " + what)
