extends RefCounted
## The world of the demo: bots chase orbs on a square field. Integers only and a random generator whose state is part of
## the world, so that the same world gives the same next tick on every machine, and a hash can prove it.

const SIZE := 4096
const BOTS := 6
const ORBS := 12
const REACH := 48
const SPEED := 24
const MATCH_TICKS := 1200

## The whole world; what `Sidekick.set_state` keeps.
var data := {}


## A new world.
static func fresh(world_seed: int) -> Dictionary:
	var world := {
		"seed": world_seed, "rng": (world_seed * 2654435761 + 12345) & 0xFFFFFFFF,
		"tick": 0, "match": 1, "x": [], "y": [], "score": [], "total": [], "orb_x": [], "orb_y": [],
	}
	for index in BOTS:
		world["x"].append(_random(world) % SIZE)
		world["y"].append(_random(world) % SIZE)
		world["score"].append(0)
		world["total"].append(0)
	for index in ORBS:
		world["orb_x"].append(_random(world) % SIZE)
		world["orb_y"].append(_random(world) % SIZE)
	return world


## One tick. Gives what happened, as events without id.
func step() -> Array:
	var events: Array = []
	data["tick"] += 1
	for bot in BOTS:
		var orb := _nearest_orb(bot)
		_move(bot, orb)
		if _distance(bot, orb) <= REACH:
			data["score"][bot] += 1
			data["total"][bot] += 1
			data["orb_x"][orb] = _random(data) % SIZE
			data["orb_y"][orb] = _random(data) % SIZE
			events.append({"kind": "score", "bot": bot, "score": data["score"][bot]})
	if data["tick"] % MATCH_TICKS == 0:
		events.append({"kind": "match_over", "match": data["match"], "scores": data["score"].duplicate()})
		data["match"] += 1
		for bot in BOTS:
			data["score"][bot] = 0
	return events


## A hash of everything in the world.
func hash_text() -> String:
	var low := 0x811C9DC5
	var high := 0x01234567
	for name in ["seed", "rng", "tick", "match"]:
		low = ((low ^ (data[name] & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
		high = ((high + low) * 2246822519) & 0xFFFFFFFF
	for name in ["x", "y", "score", "total", "orb_x", "orb_y"]:
		for number in data[name]:
			low = ((low ^ (number & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
			high = ((high + low) * 16777619) & 0xFFFFFFFF
	return "%08x%08x" % [high, low]


func total_score() -> int:
	var sum := 0
	for points in data["total"]:
		sum += points
	return sum


func _nearest_orb(bot: int) -> int:
	var best := 0
	for orb in range(1, ORBS):
		if _distance(bot, orb) < _distance(bot, best):
			best = orb
	return best


func _distance(bot: int, orb: int) -> int:
	return absi(data["orb_x"][orb] - data["x"][bot]) + absi(data["orb_y"][orb] - data["y"][bot])


func _move(bot: int, orb: int) -> void:
	var stride := SPEED + _random(data) % 9
	data["x"][bot] += clampi(data["orb_x"][orb] - data["x"][bot], -stride, stride)
	data["y"][bot] += clampi(data["orb_y"][orb] - data["y"][bot], -stride, stride)


# A 32-bit linear congruential generator; its high bits are the better ones.
static func _random(world: Dictionary) -> int:
	world["rng"] = (world["rng"] * 1664525 + 1013904223) & 0xFFFFFFFF
	return world["rng"] >> 8
