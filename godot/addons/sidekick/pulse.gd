extends RefCounted
## The heartbeat's figures: how the main loop has been doing since the last beat.

const BEAT_MS := 250

var _due_ms := 0
var _frame_usec := 0
var _frames := 0
var _sum_ms := 0.0
var _max_ms := 0.0
var _since_usec := 0
var _since_ticks := 0


## A frame begins.
func frame() -> void:
	var now := Time.get_ticks_usec()
	if _frame_usec > 0:
		var frame_ms := (now - _frame_usec) / 1000.0
		_frames += 1
		_sum_ms += frame_ms
		_max_ms = maxf(_max_ms, frame_ms)
	_frame_usec = now


func is_due() -> bool:
	return Time.get_ticks_msec() >= _due_ms


## Makes the next beat due at once.
func hurry() -> void:
	_due_ms = 0


## The beat; figures begin anew.
func beat() -> Dictionary:
	var message := {
		"type": "beat", "frame_ms": _sum_ms / maxi(1, _frames), "frame_ms_max": _max_ms,
		"physics_ms": Performance.get_monitor(Performance.TIME_PHYSICS_PROCESS) * 1000.0,
		"memory_bytes": int(Performance.get_monitor(Performance.MEMORY_STATIC)),
		"tick_lag_ms": _tick_lag_ms(),
	}
	_due_ms = Time.get_ticks_msec() + BEAT_MS
	_frames = 0
	_sum_ms = 0.0
	_max_ms = 0.0
	return message


# The engine drops physics ticks when frames take too long: by how much the game's time is behind that of the clock since the last
# beat. One tick may always be due, so that one does not count.
func _tick_lag_ms() -> float:
	var now := Time.get_ticks_usec()
	var ticks := Engine.get_physics_frames()
	var due_ms := (now - _since_usec) / 1000.0 * Engine.time_scale
	var ran_ms := (ticks - _since_ticks + 1) * 1000.0 / Engine.physics_ticks_per_second
	var lag_ms := maxf(0.0, due_ms - ran_ms) if _since_usec > 0 else 0.0
	_since_usec = now
	_since_ticks = ticks
	return lag_ms
