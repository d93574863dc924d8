extends Node
## Runs last in every physics tick, so that one tick's records make one batch.

var work := Callable()
var _broken_told := false


func _physics_process(_delta: float) -> void:
	work.call()


## A main scene whose script does not parse leaves an engine that ticks and does nothing. That is no play: sidekick must be
## told nothing more, so that it counts the start as failed.
func main_scene_is_broken() -> bool:
	var scene := get_tree().current_scene
	var script: Variant = scene.get_script() if scene != null else null
	var broken: bool = script is Script and not script.can_instantiate()
	if broken and not _broken_told:
		_broken_told = true
		push_error("Sidekick: the script of the main scene cannot run; this start has failed")
	return broken
